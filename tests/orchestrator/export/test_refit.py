"""The refitted model has the sweep's r to float32, also where predictions are nearly constant."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from orchestrator.export.choice import Asked, choose
from orchestrator.export.refit import Refitter, Sources
from tests.builders.kept_trials import add_trials
from tests.builders.transfer_shards import (
    ENCODING,
    TransferLab,
    narrow_backbone,
    weights_on,
    write_subjects,
)
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import Manifest
from trainables.models import backbones
from trainables.results.run_directory import RunDirectory
from trainables.spec import Untuned

WIDE, NARROW = "0", "1"
"""Layers of more features than images, and of fewer."""
LEAST, LARGE = 1e-3, 1e7
"""LARGE shrinks predictions to less of a response's deviation than float32 resolves of its mean."""


COUNTS = np.arange(60) % 3 + 1
"""Trials of each image, where single trials are kept."""


@pytest.fixture(scope="module", params=[False, True], ids=["means", "trials"])
def lab(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TransferLab]:
    home = tmp_path_factory.mktemp("refit")
    threads = torch.get_num_threads()
    write_subjects(
        home / "data", {"subj01": weights_on(range(4))}, {"subj01": (range(48), range(48, 60))}
    )
    if request.param:
        add_trials(home / "data" / "nsd-subj01", COUNTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backbones.OWN_ARCHITECTURES, "narrow", narrow_backbone)
        yield TransferLab.open(home)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("alpha", [LEAST, LARGE])
@pytest.mark.parametrize("layer", [WIDE, NARROW])
def test_a_refitted_model_has_the_r_of_the_sweep(
    lab: TransferLab, tmp_path: Path, layer: str, alpha: float
) -> None:
    encoding = replace(ENCODING, layers=(layer,), protocols=("nested",), alphas=(alpha,))
    trial = lab.trial(Untuned(), lab.roi(1), encoding=encoding)
    lab.run(trial)
    runs, cpu = RunDirectory(lab.runs), torch.device("cpu")
    chosen = choose(runs, Asked(trials=(trial.id,)))
    data, weights = DataDirectory(lab.home / "data"), lab.home / "weights.pt"
    refitter = Refitter(Sources(runs, data, weights, cpu, tmp_path))
    [model] = refitter.fit(chosen, "train").models
    assert model.difference < 2e-6
    assert model.half_change < 1e-2
    assert model.interval is not None
    n_trials = Manifest.read(lab.home / "data" / "nsd-subj01").n_trials
    assert model.n_trials == n_trials
    assert n_trials in (None, COUNTS[:48].sum())
    assert np.mean(model.interval) == pytest.approx(chosen[0].r.mean(), abs=2e-6)
