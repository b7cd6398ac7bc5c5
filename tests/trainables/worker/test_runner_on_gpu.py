"""Whole trials on a pretended GPU: the scores of the CPU, and the peak memory of each trial."""

from unittest import mock

import pytest
import torch

from tests.builders.pretended_cuda import CUDA, pretended_cuda
from tests.builders.tiny_runs import Listener, scores
from trainables.models import normalisation
from trainables.results.epoch_report import EpochReport
from trainables.training import checkpoints
from trainables.worker.runner import TrialRunner

pytestmark = pytest.mark.usefixtures("without_ray")


def load_file(path: str, device: str = "cpu") -> dict[str, torch.Tensor]:
    """Load tensors, which safetensors puts on a device without torch's knowledge."""
    return {name: value.to(torch.device(device)) for name, value in LOAD(path).items()}


LOAD = checkpoints.load_file


class Dying(Listener):
    """Ends the process in the second epoch."""

    def epoch(self, report: EpochReport) -> bool:
        if report.epoch == 2:
            raise KeyboardInterrupt
        return True


def test_a_trial_resumed_on_a_gpu_scores_as_on_the_cpu_and_reports_its_own_peak(place) -> None:
    trial = place.trial()
    place.runner("cpu").run(trial, Listener())
    resets: list[torch.device] = []
    with (
        pretended_cuda(reset_peak_memory_stats=resets.append),
        mock.patch.object(checkpoints, "load_file", load_file),
    ):
        runner, listener = (
            TrialRunner(place.context("gpu", keep="every"), CUDA),
            Listener(),
        )
        with pytest.raises(KeyboardInterrupt):
            runner.run(trial, Dying())
        assert runner.run(trial, listener).status == "finished"
    normalisation._factor_and_offset.cache_clear()
    assert [report.epoch for report in listener.epochs] == [2]
    assert resets == [CUDA, CUDA]
    found, expected = scores(place, trial, "gpu"), scores(place, trial, "cpu")
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert (one["vertex"], one["protocol"]) == (other["vertex"], other["protocol"])
        assert one["r_by_layer"] == pytest.approx(other["r_by_layer"], abs=2e-3)
