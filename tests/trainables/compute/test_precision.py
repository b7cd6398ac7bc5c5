"""torch's switches: set within a block, and as before after it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.builders.tiny_backbone import tiny_backbone
from tests.builders.tiny_finetuning import CONTRASTIVE, SIZE, planted
from trainables.compute.numerics import FAST, Numerics
from trainables.compute.precision import (
    full_float32,
    tf32_products,
    torch_set_for,
    torch_set_for_training,
)
from trainables.results.epoch_report import EpochReport
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.checkpoints import Checkpoints
from trainables.training.finetune import finetune
from trainables.training.synchronised import ForwardConfig

BACKENDS = torch.backends
OPERATIONS = {
    "cuda.matmul": BACKENDS.cuda.matmul,
    "cudnn.conv": BACKENDS.cudnn.conv,
    "cudnn.rnn": BACKENDS.cudnn.rnn,
    "mkldnn.matmul": BACKENDS.mkldnn.matmul,
    "mkldnn.conv": BACKENDS.mkldnn.conv,
    "mkldnn.rnn": BACKENDS.mkldnn.rnn,
}
OF_GPU = ("cuda.matmul", "cudnn.conv", "cudnn.rnn")


def switches() -> dict[str, object]:
    found: dict[str, object] = {name: one.fp32_precision for name, one in OPERATIONS.items()}
    return found | {"benchmark": BACKENDS.cudnn.benchmark}


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = switches()
    yield
    assert switches() == before


def test_fine_tuning_multiplies_in_tf32_on_a_gpu_and_measures_convolutions() -> None:
    before = switches()
    with torch_set_for_training(FAST):
        expected = {name: "tf32" if name in OF_GPU else before[name] for name in OPERATIONS}
        assert switches() == {**expected, "benchmark": True}
        with full_float32():  # scores of a trial that is fine-tuned
            assert {switches()[name] for name in OPERATIONS} == {"ieee"}
            with tf32_products():
                assert [name for name in OPERATIONS if switches()[name] == "tf32"] == [
                    "cuda.matmul"
                ]
            assert {switches()[name] for name in OPERATIONS} == {"ieee"}
        assert switches()["cuda.matmul"] == "tf32"


def test_deterministic_fine_tuning_is_in_full_float32() -> None:
    numerics = Numerics(deterministic=True)
    with torch_set_for(numerics), torch_set_for_training(numerics):
        assert switches() == {**dict.fromkeys(OPERATIONS, "ieee"), "benchmark": False}
        assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_training_runs_with_the_switches_of_its_numerics(
    tmp_path: Path, deterministic: bool
) -> None:
    found = []

    def report(done: EpochReport) -> bool:
        found.append(switches()["cuda.matmul"])
        return True

    numerics = Numerics(deterministic)
    checkpoints = Checkpoints(StoredDirectory(tmp_path))
    config = ForwardConfig(numerics=numerics)
    objective = replace(CONTRASTIVE, epochs=1)
    with torch_set_for(numerics):
        finetune(
            objective, 0, tiny_backbone(SIZE, 16), [planted()], checkpoints, report,
            forward_config=config,
        )  # fmt: skip
    assert found == ["ieee" if deterministic else "tf32"]


def test_an_error_restores_the_switches() -> None:
    with pytest.raises(KeyError), torch_set_for_training(FAST):
        raise KeyError


@pytest.mark.parametrize("is_on_gpu", [True, False])
@pytest.mark.parametrize("deterministic", [True, False])
def test_attention_of_a_deterministic_trial_on_a_gpu_is_by_products(
    monkeypatch: pytest.MonkeyPatch, deterministic: bool, is_on_gpu: bool
) -> None:
    def fast_kernels() -> list[bool]:
        cuda = BACKENDS.cuda
        return [cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled()]

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: is_on_gpu)
    before = fast_kernels()
    with torch_set_for(Numerics(deterministic=deterministic)):
        assert any(fast_kernels()) is not (deterministic and is_on_gpu)
    assert fast_kernels() == before
