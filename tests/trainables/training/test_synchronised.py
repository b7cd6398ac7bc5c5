"""Workers that share a training compute what one does, and decide together."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.builders.synchronised_work import (
    CASES,
    SIZES,
    TUNED,
    AllWork,
    backbone,
    models,
    plain,
    train,
)
from tests.builders.worker_process_group import run_process_groups
from trainables.exceptions import ProcessGroupBroken
from trainables.training.distributed import (
    SINGLE_PROCESS,
    TrialProcessGroup,
)
from trainables.training.synchronised import ForwardConfig, SharedModel

pytestmark = pytest.mark.slow  # processes of their own: each imports torch
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-11}


def test_several_workers_do_not_pass_images_in_bfloat16() -> None:
    with pytest.raises(ValueError, match="bfloat16 is for one worker per trial"):
        SharedModel(TrialProcessGroup(0, 2), nn.Linear(1, 1), ForwardConfig(precision="bfloat16"))


@pytest.fixture(scope="module")
def process_groups(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    home = tmp_path_factory.mktemp("process_group")
    for size in SIZES:
        train(SINGLE_PROCESS, home / f"left-for-{size}", stop_after=1)
    return run_process_groups(AllWork(home), SIZES, home / "home")


@pytest.mark.parametrize("n_workers", SIZES)
@pytest.mark.parametrize(("n", "dtype"), CASES)
@pytest.mark.parametrize("name", ["contrastive", "regression", "pooled", "options", "simclr"])
def test_workers_compute_the_loss_gradients_and_statistics_of_one(
    process_groups, name, n, dtype, n_workers
) -> None:
    expected = plain(models(dtype)[name], n, dtype)
    assert expected["loss"] is not None
    assert any(value is None for value in expected.values()) is (name == "pooled")
    for worker in process_groups[n_workers]:
        found = worker["steps"][f"{name} {n} {dtype}"]["state"]
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            if value is None:  # the other subject's readout has no part in this batch
                assert found[key] is None
            else:
                assert_close(found[key], value, TOLERANCE[dtype])


def assert_close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("n_workers", SIZES)
def test_the_model_is_left_with_its_names_and_forwards_and_draws_in_step(
    process_groups, n_workers
) -> None:
    first = process_groups[1][0]["steps"]
    assert len(first) == 5 * len(CASES)
    for worker in process_groups[n_workers]:
        for key, step in worker["steps"].items():
            assert step["names"]
            assert step["restored"]
            assert torch.equal(step["draws"], first[key]["draws"])
            assert_close(step["logits"], first[key]["logits"], 1e-5)


def test_workers_of_a_process_group_have_the_same_gradients_to_the_bit(process_groups) -> None:
    key = f"contrastive 25 {torch.float32}"
    first, *others = (worker["steps"][key]["state"] for worker in process_groups[3])
    for name, value in first.items():
        assert all(torch.equal(value, other[name]) for other in others), name


@pytest.mark.parametrize("work", ["trained", "resumed"])
@pytest.mark.parametrize("n_workers", SIZES)
def test_a_training_ends_alike_with_any_number_of_workers_and_from_one_s_checkpoint(
    process_groups, n_workers, work
) -> None:
    expected = process_groups[1][0]["trained"]
    for rank, worker in enumerate(process_groups[n_workers]):
        found = worker[work]
        assert found["heard"] == ([] if rank else [1, 2, 3][work == "resumed" :])
        for one, two in zip(found["history"], expected["history"], strict=True):
            assert one[0] == two[0]
            assert one[1] == pytest.approx(two[1], abs=1e-4)
            assert one[2] is not None
        assert_close(found["logits"], expected["logits"], 1e-4)


@pytest.mark.parametrize("tune", TUNED)
def test_a_part_is_tuned_alike_by_two_workers_and_by_one(process_groups, tune) -> None:
    """What is frozen, statistics included, stays to the bit; adapters are merged at the end."""
    before, expected = backbone().state_dict(), process_groups[1][0][tune]
    moved = {
        name for name, one in expected["weights"].items() if not torch.equal(one, before[name])
    }
    assert 0 < len(moved) < len(before)
    for worker in process_groups[2]:
        found = worker[tune]
        assert_close(found["logits"], expected["logits"], 1e-4)
        assert found["weights"].keys() == before.keys()
        for name in before.keys() - moved:
            assert torch.equal(found["weights"][name], before[name])


@pytest.mark.parametrize("n_workers", SIZES)
def test_a_stopped_training_stops_on_all_workers_after_the_same_epoch(
    process_groups, n_workers
) -> None:
    message = [worker["stopped"] for worker in process_groups[n_workers]]
    assert [one["stopped"] for one in message] == [[1]] * n_workers
    assert [one["heard"] for one in message] == [[1]] + [[]] * (n_workers - 1)


@pytest.mark.parametrize("n_workers", SIZES)
def test_a_loss_that_is_not_a_number_ends_the_training_on_all_workers(
    process_groups, n_workers
) -> None:
    for worker in process_groups[n_workers]:
        assert "not a number in epoch 1; lower learning_rate" in worker["diverged"]


@pytest.mark.parametrize("n_workers", SIZES)
def test_the_first_worker_decides_for_all(process_groups, n_workers) -> None:
    for worker in process_groups[n_workers]:
        assert worker["agreed"]["decided"] == "by 0"


@pytest.mark.parametrize("n_workers", [2, 3])
def test_a_failed_decision_is_the_first_worker_s_error_and_ends_the_others_part(
    process_groups, n_workers
) -> None:
    message = [worker["agreed"]["failed decision"] for worker in process_groups[n_workers]]
    assert message == ["ValueError: no"] + ["Abandoned: ValueError: no"] * (n_workers - 1)


@pytest.mark.parametrize("n_workers", [2, 3])
def test_what_one_worker_can_not_do_is_left_by_all_and_reported_by_its_name(
    process_groups, n_workers
) -> None:
    for who in range(n_workers):
        message = [worker["agreed"][f"failed {who}"] for worker in process_groups[n_workers]]
        abandoned = f"Abandoned: worker {who}: ValueError: no"
        assert message == [
            abandoned if rank or who else "ValueError: no" for rank in range(n_workers)
        ]


def test_workers_notice_that_they_do_not_see_the_same(process_groups) -> None:
    for worker in process_groups[3]:
        assert worker["agreed"]["same"] == "nothing"
        assert (
            "worker 2: ValueError: rank: 2 on this worker, 0 on the first"
            in worker["agreed"]["differ"]
        )


def test_tensors_are_summed_over_workers(process_groups) -> None:
    assert [float(worker["agreed"]["sum"]) for worker in process_groups[3]] == [6.0] * 3


def test_shares_are_contiguous_even_and_all_of_the_rows() -> None:
    for size in (1, 2, 3, 7):
        for n in (0, 1, 2, 8, 21):
            rows = list(range(n))
            shares = [rows[TrialProcessGroup(rank, size).share(n)] for rank in range(size)]
            assert [row for share in shares for row in share] == rows
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_an_error_in_a_step_breaks_a_process_group_and_is_itself_for_one_worker() -> None:
    with pytest.raises(ValueError, match=r"^no$"), TrialProcessGroup().in_step():
        raise ValueError("no")
    with (
        pytest.raises(ProcessGroupBroken, match="worker 1: ValueError: no"),
        TrialProcessGroup(1, 2).in_step(),
    ):
        raise ValueError("no")
