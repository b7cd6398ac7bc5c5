"""A runner's memory and disk: streamed images, features on disk, shares of a GPU, failures."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.builders.tiny_runs import (
    CONTRASTIVE,
    ENCODING,
    REGRESSION,
    Listener,
    scores,
)
from trainables.exceptions import Failure, OutOfMemory
from trainables.results.outcome import Outcome, failed
from trainables.results.run_directory import RunDirectory
from trainables.spec import Untuned
from trainables.training.checkpoints import load_backbone, load_network
from trainables.training.distributed import TrialProcessGroup
from trainables.worker import runner as runner_module
from trainables.worker import score_subject
from trainables.worker.runner import TrialRunner

pytestmark = pytest.mark.usefixtures("without_ray")


def test_images_that_do_not_fit_are_streamed_to_the_same_scores(place) -> None:
    trial = place.trial()
    place.runner("resident").run(trial, Listener())
    place.runner("streamed", image_budget=1000).run(trial, Listener())
    assert scores(place, trial, "resident") == scores(place, trial, "streamed")


def test_features_that_do_not_fit_are_on_disk_to_the_same_scores_and_removed(place) -> None:
    trial = place.untuned(0)
    place.runner("memory").run(trial, Listener())
    place.runner("on-disk", feature_budget=1000).run(trial, Listener())
    assert scores(place, trial, "memory") == scores(place, trial, "on-disk")
    assert list((place.home / "on-disk" / "scratch").iterdir()) == []


class ShortOfMemory:
    """A step of the encoding that is out of memory for its first calls; it notes all of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, n_failures: int) -> None:
        self._step = getattr(score_subject, name)
        self._n_left = n_failures
        self.calls: list[tuple[Any, ...]] = []
        monkeypatch.setattr(score_subject, name, self)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.calls.append(arguments)
        if self._n_left:
            self._n_left -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self._step(*arguments, **named)


@pytest.mark.parametrize("step", ["read_features", "score_rois"])
def test_an_encoding_out_of_memory_is_tried_again_in_smaller_parts(place, monkeypatch, step):
    trial, listener = place.untuned(0), Listener()
    place.runner("enough").run(trial, Listener())
    failing = ShortOfMemory(monkeypatch, step, n_failures=1)
    noted = (
        failing
        if step == "read_features"
        else ShortOfMemory(monkeypatch, "read_features", n_failures=0)
    )
    assert place.runner("short").run(trial, listener).status == "finished"
    pairs = zip(scores(place, trial, "short"), scores(place, trial, "enough"), strict=True)
    for found, expected in pairs:  # a network's sums are rounded otherwise in smaller batches
        assert found["alpha"] == expected["alpha"]
        assert found["r_by_layer"] == pytest.approx(expected["r_by_layer"], abs=1e-5)
    assert "features, 8 images at a time" in listener.stages
    first, second = (storage.budget_bytes for *_, storage in noted.calls)
    assert first > second == 0
    assert list((place.home / "short" / "scratch").iterdir()) == []


def test_a_training_out_of_memory_is_first_tried_again_without_the_other_subjects(
    place, monkeypatch
) -> None:
    trial, listener = place.trial(), Listener()
    place.runner("enough").run(trial, Listener())
    other = place.rois.index(next(roi for roi in place.rois if roi.subject == "subj02"))
    runner = place.runner("short")
    runner.run(place.untuned(other), Listener())
    n_calls = 0

    def fail_once(*arguments: Any, **named: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return finetune(*arguments, **named)

    finetune = runner_module.finetune
    monkeypatch.setattr(runner_module, "finetune", fail_once)
    assert runner.run(trial, listener).status == "finished"
    assert f"finetuning, {CONTRASTIVE.batch_size} images at a time" in listener.stages
    assert scores(place, trial, "short") == scores(place, trial, "enough")


def test_an_encoding_that_never_fits_fails_and_the_runner_serves_on(place, monkeypatch) -> None:
    runner = place.runner()
    ShortOfMemory(monkeypatch, "score_rois", n_failures=2)
    with pytest.raises(OutOfMemory, match=r"out of memory on cpu while encoding, .* 8 images"):
        runner.run(place.untuned(0), Listener())
    assert runner.run(place.untuned(0), Listener()).status == "finished"


def test_an_encoding_that_fails_otherwise_is_not_repeated(place, monkeypatch) -> None:
    def fail(*arguments: Any, **named: Any) -> None:
        calls.append(arguments)
        raise RuntimeError("CUDA error: unspecified launch failure")

    calls: list[Any] = []
    monkeypatch.setattr(score_subject, "score_rois", fail)
    with pytest.raises(RuntimeError, match="launch failure"):
        place.runner().run(place.untuned(0), Listener())
    assert len(calls) == 1


def test_data_that_has_changed_since_planning_is_refused(place) -> None:
    stale = replace(place.trial(), rois=(replace(place.rois[0], data="00000000"),))
    with pytest.raises(ValueError, match=r"nsd-subj01: its content is .*planned on 00000000; plan"):
        place.runner().run(stale, Listener())
    assert not RunDirectory(place.home / "runs").outcome_file(stale.id).exists()


def test_an_roi_of_other_vertices_than_planned_is_refused(place) -> None:
    stale = replace(place.trial(), rois=(replace(place.rois[0], n_vertices=9),))
    with pytest.raises(
        ValueError, match=r"nsd-subj01-lh-V1v: expected 9 vertices, as planned, found 8 .*plan"
    ):
        place.runner().run(stale, Listener())


def test_missing_rows_are_refused(place) -> None:
    (place.home / "data" / "nsd-subj01" / "rows-00000.parquet").unlink()
    with pytest.raises((ValueError, OSError)):
        place.runner().run(place.trial(), Listener())


def test_a_runner_serves_on_after_a_trial_that_failed(place) -> None:
    runner = place.runner()
    doomed = replace(place.trial(), encoding=replace(ENCODING, layers=("absent",)))
    with pytest.raises(ValueError, match=r"unknown layers \['absent'\]"):
        runner.run(doomed, Listener())
    assert runner.run(place.trial(REGRESSION), Listener()).status == "finished"


def test_every_epoch_s_weights_are_kept_on_request(place) -> None:
    trial = place.trial()
    place.runner(keep="every").run(trial, Listener())
    kept = (place.home / "runs" / "checkpoints" / trial.training_id).glob("epoch-*")
    assert sorted(path.name for path in kept) == [
        "epoch-0001.safetensors",
        "epoch-0002.safetensors",
    ]


def test_a_trial_whose_checkpoint_could_not_be_written_has_not_ended(place, monkeypatch) -> None:
    """It is written in the background, while the trial is scored."""

    def fail(path: Path, tensors: object) -> None:
        raise OSError(f"{path}: lost")

    trial, runner = place.trial(), place.runner()
    with monkeypatch.context() as patch:
        patch.setattr("trainables.training.checkpoints.write_tensors", fail)
        with pytest.raises(OSError, match="lost"):
            runner.run(trial, Listener())
    assert Outcome.read(RunDirectory(place.home / "runs"), trial.id) is None
    assert runner.run(trial, Listener()).status == "finished"
    assert load_backbone(RunDirectory(place.home / "runs").checkpoints(trial.training_id))


def test_a_trial_whose_weights_are_not_kept_has_the_same_scores_and_a_cure(place) -> None:
    trial = place.trial()
    place.runner("kept").run(trial, Listener())
    removable = frozenset({trial.training_id})
    runner = place.runner("none", keep="none", removable=removable)
    outcome = runner.run(trial, Listener())
    assert scores(place, trial, "none") == scores(place, trial, "kept")
    checkpoints = place.context("none").checkpoint(trial)
    assert not checkpoints.path.exists()
    with pytest.raises(ValueError, match=r"no usable checkpoint .* without --keep none"):
        load_network(checkpoints, trial.backbone)
    place.context("kept").checkpoint(trial).path.rename(checkpoints.path)
    assert runner.run(trial, Listener()) == outcome  # killed before it removed them
    assert not checkpoints.path.exists()


def test_a_trial_that_could_not_be_done_is_an_outcome_with_its_error(place) -> None:
    outcome = failed(place.trial(), Failure("input", "ValueError: no"))
    outcome.write(RunDirectory(place.home / "runs"))
    content = json.loads(
        RunDirectory(place.home / "runs").outcome_file(outcome.trial.id).read_text()
    )
    assert (content["status"], content["error"]) == ("failed", "ValueError: no")
    assert Outcome.read(RunDirectory(place.home / "runs"), outcome.trial.id).error_kind == "input"


def test_a_worker_that_shares_a_gpu_takes_its_share_of_the_memory(place, monkeypatch) -> None:
    shares = []
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (16 * 2**30, 16 * 2**30))
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, device: shares.append(share)
    )
    for share in (0.25, 1.0):
        TrialRunner(place.context(share_of_gpu=share), torch.device("cuda"))
    assert shares == [3.5 / 16]  # its libraries use half a GiB of its 4


class Alone(TrialProcessGroup):
    """The first worker of a process group, without the others."""

    def decide(self, decide: Any) -> Any:
        return decide()

    def together(self, do: Any) -> Any:
        return do()


@pytest.mark.parametrize(
    ("size", "is_tuned", "names"),
    [
        (1, True, ["nsd-subj01", "nsd-subj02"]),
        (2, True, ["nsd-subj02"]),
        (2, False, ["nsd-subj01", "nsd-subj02"]),
    ],
)
def test_a_process_group_finetunes_with_no_other_subjects_in_memory(
    place, monkeypatch, size, is_tuned, names
) -> None:
    """A worker of several that is out of memory can't evict them and try again: it breaks all."""
    objective = CONTRASTIVE if is_tuned else Untuned()
    monkeypatch.setattr(runner_module, "finetune", lambda *of, **named: ())
    runner = TrialRunner(place.context(), torch.device("cpu"), Alone(0, size))
    for roi in (0, -1):
        runner.run(place.trial(objective, roi), Listener())
    assert sorted(runner._subjects._cached) == names
