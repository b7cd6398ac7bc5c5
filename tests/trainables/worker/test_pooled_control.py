"""The positive control of pooling: what subjects share is learned better from all of them."""

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks import small_shards
from tests.builders.listeners import Quiet
from tests.builders.tiny_backbone import tiny_backbone
from trainables.data.data_directory import DataDirectory
from trainables.models import backbones
from trainables.models.weights_name import weights_name
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_scores
from trainables.spec import Backbone, Contrastive, Encoding, Pooled, Roi, Trial
from trainables.worker.context import RunContext
from trainables.worker.runner import TrialRunner

pytestmark = pytest.mark.slow

SUBJECTS = ("subj01", "subj02", "subj03", "subj04")
EARLY = ("V1v", "V2d", "hV4")
N_PATTERNS = 6
TRAINING: dict[str, Any] = {"learning_rate": 1e-3, "batch_size": 32, "epochs": 20}
ENCODING = Encoding(layers=("6",), alphas=(0.1, 1.0, 10.0, 100.0, 1e3, 1e4), n_folds=3)


def plant_energy(
    n_images: int,
    image_size: int,
    n_vertices: int,
    generator: np.random.Generator,
    shared: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw images of patterns, and responses to how strong each is, whatever its sign.

    The patterns are every subject's; images, weights and noise (as strong as the signal) are its
    own. No linear map of the pixels predicts a magnitude, so the backbone has to learn it.
    """
    strengths = generator.standard_normal((n_images, N_PATTERNS))
    patterns = shared.standard_normal((N_PATTERNS, 3, 4, 4))
    patterns = patterns.repeat(image_size // 4, axis=2).repeat(image_size // 4, axis=3)
    images = 128 + 25 * np.einsum("nk,kcyx->ncyx", strengths, patterns)
    images += 10 * generator.standard_normal(images.shape)
    weights = generator.standard_normal((N_PATTERNS, n_vertices)) / np.sqrt(N_PATTERNS)
    signal = (np.abs(strengths) - 0.8) / 0.6 @ weights
    responses = signal + generator.standard_normal(signal.shape)
    return images.clip(0, 255).astype(np.uint8), responses.astype(np.float32)


@pytest.fixture
def rois(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Roi]:
    monkeypatch.setattr(small_shards, "plant", plant_energy)
    monkeypatch.setitem(
        backbones.OWN_ARCHITECTURES, "tiny", partial(tiny_backbone, width=16, hidden=32)
    )
    torch.save(tiny_backbone(width=16, hidden=32).state_dict(), tmp_path / "weights.pt")
    return small_shards.write_shards(
        tmp_path / "data", SUBJECTS, n_images=200, image_size=32, shared_patterns=5
    )


def test_pooled_beats_single_subject_in_early_rois_where_a_component_is_shared(
    rois: list[Roi], tmp_path: Path
) -> None:
    backbone = Backbone("tiny", weights_name(tmp_path / "weights.pt"))
    place = RunContext(
        DataDirectory(tmp_path / "data"), RunDirectory(tmp_path / "runs"), tmp_path / "weights.pt"
    )
    runner = TrialRunner(place, torch.device("cpu"))
    means: dict[tuple[str, str], list[float]] = defaultdict(list)
    for roi_name in EARLY:
        alike = tuple(roi for roi in rois if (roi.hemisphere, roi.name) == ("lh", roi_name))
        assert len(alike) == len(SUBJECTS)
        trials = {
            "single": [Trial(Contrastive(**TRAINING), (c,), backbone, ENCODING) for c in alike],
            "sequential": [Trial(Pooled(hidden_dim=32, **TRAINING), alike, backbone, ENCODING)],
            "interleaved": [
                Trial(
                    Pooled(hidden_dim=32, order="interleaved", **TRAINING),
                    alike,
                    backbone,
                    ENCODING,
                )
            ],
        }
        for name, some in trials.items():
            for trial in some:
                runner.run(trial, Quiet())
                table = read_scores(RunDirectory(tmp_path / "runs"), trial.id).to_pandas()
                means[name, roi_name] += list(table.groupby("subject")["r"].mean())
    assert all(len(by_subject) == len(SUBJECTS) for by_subject in means.values())
    for order in ("sequential", "interleaved"):
        gains = [
            np.mean(means[order, roi_name]) - np.mean(means["single", roi_name])
            for roi_name in EARLY
        ]
        assert min(gains) > 0, (order, gains)
        assert np.mean(gains) > 0.04, (order, gains)
