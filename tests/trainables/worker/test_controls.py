"""The whole of a trial on simulated subjects: signal is found where it is, and not where not."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pytest
import torch

from benchmarks.small_shards import write_weights
from orchestrator.ingest.algonauts.files import find_subjects
from orchestrator.ingest.algonauts.inspection import Findings, inspect_subject
from orchestrator.ingest.images import decode_image
from orchestrator.ingest.settings import Settings
from orchestrator.ingest.simulate.algonauts import SimulationSettings, simulate
from orchestrator.ingest.writer import write_subject
from tests.builders.listeners import Quiet
from trainables.data import loading
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import list_rois
from trainables.models.weights_name import weights_name
from trainables.results.run_directory import RunDirectory
from trainables.spec import Backbone, Contrastive, Encoding, Trial, Untuned
from trainables.worker import subject_cache
from trainables.worker.context import RunContext
from trainables.worker.runner import TrialRunner

N_PERMUTATIONS = 8
N_IMAGES = 360
ENCODING = Encoding(layers=("features.2", "features.5"), n_folds=3)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated subject, ingested, and untrained weights."""
    home = tmp_path_factory.mktemp("controls")
    settings = SimulationSettings(subjects=(1,), n_images=N_IMAGES, n_shared=20)
    simulate(home / "source", settings)
    ingest(home / "source", home / "data")
    write_weights(home / "weights.safetensors")
    return home


def mean_scores(home: Path, runs: Path, roi_names: tuple[str, ...]) -> dict[str, float]:
    """Run an untuned and a contrastive trial on each ROI; return the mean r of each trial."""
    weights = home / "weights.safetensors"
    backbone = Backbone("narrow-alexnet", weights_name(weights))
    runner = TrialRunner(
        RunContext(DataDirectory(home / "data"), RunDirectory(runs), weights), torch.device("cpu")
    )
    found = {}
    for roi in list_rois(DataDirectory(home / "data")):
        for objective in (Untuned(), Contrastive(batch_size=64, epochs=2)):
            if roi.name in roi_names and roi.hemisphere == "lh":
                trial = Trial(objective, (roi,), backbone, ENCODING)
                runner.run(trial, Quiet())
                r = pads.dataset(RunDirectory(runs).score_file(trial.id, roi.id)).to_table()["r"]
                found[f"{trial.method} {roi.name}"] = pc.mean(r).as_py()
    return found


def ingest(source: Path, data: Path) -> None:
    """Read a folder with the real ingest, but decode without Ray."""
    settings = Settings("stimulus", 64)
    (files,) = find_subjects(source, None, None)
    findings = Findings()
    subject = inspect_subject(files, settings.split, findings, lambda n: None)
    findings.raise_if_any()
    assert subject is not None
    pixels = [decode_image(path, settings.image_size).tobytes() for path in subject.images]
    images = pa.array(pixels, pa.binary(3 * settings.image_size**2))
    write_subject(subject, [(0, images)], DataDirectory(data), settings)


def test_signal_that_is_planted_is_found(home: Path, tmp_path: Path) -> None:
    means = mean_scores(home, tmp_path, ("V1v", "hV4", "EBA"))
    assert len(means) == 6
    assert min(means.values()) > 0.1, means


def test_permuted_responses_score_zero_within_three_standard_errors(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One permutation serves all vertices, so permutations are what is independent.
    found: dict[str, list[float]] = {}
    for seed in range(N_PERMUTATIONS):
        monkeypatch.setattr(subject_cache, "read_subject", partial(read_permuted, seed=seed))
        for name, r in mean_scores(home, tmp_path / str(seed), ("V1v",)).items():
            found.setdefault(name, []).append(r)
    assert set(found) == {"untuned V1v", "contrastive V1v"}
    for name, means in found.items():
        standard_error = np.std(means, ddof=1) / np.sqrt(N_PERMUTATIONS)
        assert abs(np.mean(means)) < 3 * standard_error, (name, means)
        assert abs(np.mean(means)) < 0.03, (name, means)


def read_permuted(shard: Path, seed: int) -> loading.Subject:
    """Read a subject whose images have each other's responses."""
    subject = loading.read_subject(shard)
    order = np.random.default_rng(seed).permutation(subject.manifest.n_images)
    permuted = {side: matrix[order] for side, matrix in subject.responses.items()}
    return replace(subject, responses=permuted)
