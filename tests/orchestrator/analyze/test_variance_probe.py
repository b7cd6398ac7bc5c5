"""The probe of variance on a small sweep, against scikit-learn on the networks' activations."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.catalogue import ANALYSES, find
from orchestrator.analyze.probe_actors import due, find_backbones
from orchestrator.analyze.run import make
from tests.builders.small_looks import CPU, ENCODING, small_sweep
from tests.builders.tiny_backbone import tiny_backbone
from trainables.data.data_directory import DataDirectory
from trainables.data.loading import read_images, read_subject
from trainables.data.shards import read_vertices
from trainables.models import backbones
from trainables.models.normalisation import normalise
from trainables.probes.probe import ProbeRecord
from trainables.probes.prober import Prober
from trainables.results.run_directory import RunDirectory
from trainables.spec import Backbone
from trainables.training.checkpoints import load_network

N_FOLDS = 5


@pytest.fixture
def looked(tmp_path, monkeypatch):
    monkeypatch.setitem(backbones.OWN_ARCHITECTURES, "tiny", tiny_backbone)
    return small_sweep(tmp_path)


def probe(looked):
    jobs = due(find_backbones(RunDirectory(looked.runs)), looked.context, ("variance",))
    for job in jobs:
        assert Prober(looked.context, 1).probe(job) == []
    return len(jobs)


def ridge(X, Y, train, test):
    """Choose alpha of each vertex over contiguous folds of the training rows, and fit."""
    losses = []
    for alpha in ENCODING.alphas:
        errors = []
        for block in np.split(train[: len(train) // N_FOLDS * N_FOLDS], N_FOLDS):
            rest = train[~np.isin(train, block)]
            fitted = Ridge(alpha).fit(X[rest], Y[rest])
            errors.append(np.square(Y[block] - fitted.predict(X[block])).mean(axis=0))
        losses.append(np.mean(errors, axis=0))
    chosen = np.array(ENCODING.alphas)[np.argmin(losses, axis=0)]
    return np.stack(
        [Ridge(a).fit(X[train], Y[train, v]).predict(X[test]) for v, a in enumerate(chosen)], axis=1
    )


@torch.no_grad()
def concatenated(network, images, train):
    x = normalise(images)
    parts = []
    for depth in (2, 5):
        layer = network.eval()[:depth](x).flatten(1).double().numpy()
        layer = layer - layer[train].mean(axis=0)
        parts.append(layer / np.sqrt(np.square(layer[train]).sum(axis=1).mean()))
    X = np.concatenate(parts, axis=1)
    scores = PCA(len(train) - 1, svd_solver="full").fit(X[train]).transform(X)
    return scores / np.sqrt(np.square(scores[train]).sum(axis=1).mean())


def test_a_probe_is_what_scikit_learn_makes_of_all_layers(looked) -> None:
    assert probe(looked) == 2
    assert probe(looked) == 0
    [path] = (looked.runs / "probes" / "variance").glob("contrastive-*.parquet")
    record = ProbeRecord.read(path)
    [row] = record.rows().to_pylist()
    [roi] = record.probed.model.rois
    shard = looked.home / "data" / roi.shard
    subject, images = read_subject(shard), read_images(shard, CPU)
    Y = subject.responses[roi.hemisphere][:, read_vertices(shard, roi)].astype(np.float64)
    train, test = subject.train_rows, subject.test_rows
    directory = RunDirectory(looked.runs).checkpoints(record.probed.model.training_id)
    for name, network in (
        ("untuned", tiny_backbone()),
        ("tuned", load_network(directory, Backbone("tiny"))),
    ):
        predicted = ridge(concatenated(network, images, train), Y, train, test)
        expected = r2_score(Y[test], predicted, multioutput="raw_values")
        np.testing.assert_allclose(row[f"r2_{name}"], expected, atol=1e-4)
        r = [np.corrcoef(p, y)[0, 1] for p, y in zip(predicted.T, Y[test].T, strict=True)]
        np.testing.assert_allclose(row[f"r_{name}"], r, atol=1e-4)
    assert row["n_fitted"] == len(train)
    assert row["n_test"] == len(row["stimulus"]) == len(row["r2_joint_effects"]) == len(test)
    assert record.numbers["protocol"] == "nested"


def test_the_analysis_is_made_of_its_probes_and_only_if_they_were_asked_for(looked) -> None:
    [one] = find(["variance"])
    assert [a.name for a in ANALYSES if a.on_request] == ["variance"]

    def made():
        inputs = Inputs(RunDirectory(looked.runs), DataDirectory(looked.home / "data"))
        return make(one, inputs), inputs

    skipped = made()[0]
    assert skipped.state == "skipped"
    assert "analyze variance" in skipped.message
    probe(looked)
    done, inputs = made()
    assert done.state == "made"
    table = inputs.result("variance").to_pandas().set_index("method")
    assert sorted(table.index) == ["contrastive", "regression"]
    [path] = (looked.runs / "probes" / "variance").glob("regression-*.parquet")
    [row] = ProbeRecord.read(path).rows().to_pylist()
    unique = np.mean(row["r2_joint"]) - np.mean(row["r2_untuned"])
    assert table.loc["regression", "unique_tuned"] == pytest.approx(unique)
    assert table.loc["regression", "n_vertices"] == looked.rois[0].n_vertices
