"""From the simulated source of a layout to scores of V1, by the commands and without Ray."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from orchestrator.ingest.__main__ import main
from orchestrator.ingest.images import decode_image
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics.noise_ceilings import with_ceilings
from tests.builders.energy_backbone import SIZE, energy_backbone
from tests.builders.listeners import Quiet
from trainables.data import loading
from trainables.data.data_directory import DataDirectory
from trainables.data.rows import read_rows
from trainables.data.shards import Manifest, list_rois
from trainables.models import backbones
from trainables.models.weights_name import weights_name
from trainables.results.run_directory import RunDirectory
from trainables.spec import Backbone, Encoding, Trial, Untuned
from trainables.worker.context import RunContext
from trainables.worker.runner import TrialRunner

V1 = ("V1", "V1v", "V1d")
_ENCODING = Encoding(layers=("1",), n_components=100, alphas=(10.0, 100.0, 1e3, 1e4, 1e5))


@dataclass(frozen=True)
class Scored:
    """A subject's shard, and the scores of its V1 with noise ceilings."""

    manifest: Manifest
    vertices: pd.DataFrame
    """One row per vertex and ROI: hemisphere, roi, vertex, r, noise_ceiling, is_simulated."""

    @property
    def mean_r(self) -> float:
        return float(self.vertices["r"].mean())


@contextmanager
def without_ray() -> Iterator[None]:
    """Ingest and score in this process; the architecture ``energy`` is the energy backbone."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestrator.cluster.connection.connect", lambda num_cpus: None)
        patch.setattr("orchestrator.ingest.images.stream_images", _decode)
        patch.setattr(loading, "stream", read_rows)
        patch.setitem(backbones.OWN_ARCHITECTURES, "energy", energy_backbone)
        yield
    torch.set_num_threads(threads)


def _decode(images, sizes, fit) -> Iterator[tuple[int, pa.Array]]:
    [image_size] = sizes
    raw = [decode_image(image, image_size).tobytes() for image in images]
    yield 0, pa.array(raw, pa.binary(3 * image_size**2))


def ingest_and_score(command: str, source: Path, home: Path, *options: str) -> Scored:
    """Ingest a source of one subject to home, which is new, and score its V1."""
    data, runs = DataDirectory(home / "data"), RunDirectory(home / "runs")
    size = ("--image-size", str(SIZE))
    assert main([command, str(source), "--out", str(data.path), *size, *options]) == 0
    weights = home / "weights.pt"
    torch.save(energy_backbone().state_dict(), weights)
    rois = tuple(roi for roi in list_rois(data) if roi.name in V1)
    trial = Trial(Untuned(), rois, Backbone("energy", weights_name(weights)), _ENCODING)
    runner = TrialRunner(RunContext(data, runs, weights), torch.device("cpu"))
    assert runner.run(trial, Quiet()).status == "finished"
    [shard] = data.shards()
    vertices = with_ceilings(read_score_table(runs).vertices, data)
    return Scored(Manifest.read(data.shard(shard)), vertices)


def shuffle_presentations(source: Path) -> None:
    """Shuffle the responses of a folder of one's own over all presentations."""
    for path in source.glob("sub-*/responses.npy"):
        np.save(path, np.random.default_rng(3).permutation(np.load(path)))
