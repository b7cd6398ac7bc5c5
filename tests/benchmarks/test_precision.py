"""The comparison of number formats: its trials, its interval, what a trial computes in."""

from pathlib import Path

import pytest
import torch
from scipy.stats import ttest_1samp

from benchmarks import precision
from benchmarks.number_formats import number_formats
from benchmarks.tf32 import EmulatedTF32
from trainables.data.data_directory import DataDirectory
from trainables.spec import Roi, Trial

ROIS = [
    Roi("nsd", subject, "lh", name, 20, "0" * 12)
    for subject in ("subj01", "subj02")
    for name in ("V1v", "hV4")
]


def demo_trials(monkeypatch) -> list[Trial]:
    monkeypatch.setattr(precision, "list_rois", lambda _: ROIS)
    monkeypatch.setattr(precision, "weights_name", lambda _: "file:0")
    return precision.demo_trials(DataDirectory(Path("absent")), Path("absent"))


def test_each_roi_of_the_first_subject_is_fine_tuned_once_per_seed(monkeypatch) -> None:
    trials = demo_trials(monkeypatch)
    assert [one.rois for one in trials] == [(ROIS[0],), (ROIS[1],)]
    assert {(one.method, one.seed) for one in trials} == {("contrastive", 0)}


def test_the_interval_over_seeds_is_students() -> None:
    values = [0.1, -0.3, 0.2, 0.05, 0.4]
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert precision.t_interval(values) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_float32_has_all_bits_and_comes_first(monkeypatch, kind: str) -> None:
    trial, _ = demo_trials(monkeypatch)
    formats = number_formats(torch.device(kind))
    asked = [one.ask(trial) for one in formats]
    on_gpu = kind == "cuda"  # where float32 is TF32 unless a trial is deterministic
    assert [one.deterministic for one in asked] == [on_gpu] + [False] * (len(asked) - 1)
    assert asked[1] == trial
    for one, format_ in zip(asked, formats, strict=True):
        assert (one.precision == "bfloat16") == ("bfloat16" in format_.name)
        assert (format_.emulation is EmulatedTF32) == (not on_gpu and "TF32" in format_.name)
