"""Predictions of the test images: kept at the layer an ROI chooses, and joined with the shards."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from tests.builders.layer_features import (
    LAYERS,
    N_TRAIN,
    N,
    encoding,
    only,
    roi,
    score,
    simulate,
    split,
)
from tests.builders.tiny_runs import Listener, Place
from trainables.data.rows import fixed_width, read_rows
from trainables.encoding.chosen_predictions import ChosenPredictions
from trainables.encoding.features import FeatureStore
from trainables.encoding.pca import gram
from trainables.encoding.protocols import score_layer
from trainables.encoding.ridge import Fold, correlate_each, predict_each
from trainables.encoding.score_rois import Targets, score_rois
from trainables.results.prediction_files import read_predictions
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_scores

pytestmark = pytest.mark.usefixtures("without_ray")


def with_predictions(layers, Y, **options):
    return score(layers, Y, encoding("nested", "paper"), keep_predictions=True, **options)


def correlations(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    pairs = zip(predicted.T.astype(float), measured.T.astype(float), strict=True)
    return np.array([np.corrcoef(p, y)[0, 1] for p, y in pairs])


def test_predictions_are_those_of_scikit_learn_but_for_scale_and_mean() -> None:
    layers, Y = simulate()
    scores = with_predictions(layers, Y)[0]
    train, test = split().train, split().test
    X = layers[scores.layer].double().numpy()
    pca = PCA(20, svd_solver="full").fit(X[train])
    for vertex, alpha in enumerate(scores.alpha):
        ridge = Ridge(alpha=alpha).fit(pca.transform(X[train]), Y[train, vertex])
        expected = ridge.predict(pca.transform(X[test]))
        expected = (expected - expected.mean()) / expected.std()
        np.testing.assert_allclose(scores.predictions[:, vertex], expected, atol=3e-3)


def test_predictions_have_mean_0_variance_1_and_the_score_s_r() -> None:
    layers, Y = simulate()
    Y = 1e4 * Y + 1e5  # units far beyond float16
    nested, paper = with_predictions(layers, Y)
    assert nested.predictions.dtype == np.float16
    assert nested.predictions.shape == (N - N_TRAIN, Y.shape[1])
    wide = nested.predictions.astype(float)
    np.testing.assert_allclose(wide.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(wide.std(axis=0), 1, atol=1e-3)
    np.testing.assert_allclose(correlations(wide, Y[split().test]), nested.r, atol=1e-3)
    assert paper.predictions is None


def test_each_roi_keeps_the_layer_that_it_chooses_whatever_others_choose() -> None:
    layers, Y = simulate(noise=0.2)
    groups = {"V1v": [0, 1, 2], "V2v": [3, 4, 5], "EBA": [6, 7, 8], "early": [2, 3, 4]}
    rois = [(roi(roi_name, 3), np.array(columns)) for roi_name, columns in groups.items()]
    chosen = [one for one in with_predictions(layers, Y, rois=rois) if one.protocol == "nested"]
    assert {one.layer for one in chosen} == set(LAYERS)
    for scores, columns in zip(chosen, groups.values(), strict=True):
        measured = Y[split().test][:, columns]
        np.testing.assert_allclose(correlations(scores.predictions, measured), scores.r, atol=1e-3)


def test_keeping_predictions_changes_no_score() -> None:
    layers, Y = simulate()
    kept, bare = with_predictions(layers, Y)[0], only(layers, Y, "nested")
    assert bare.predictions is None
    assert kept.layer == bare.layer
    np.testing.assert_array_equal(kept.r_by_layer, bare.r_by_layer)
    np.testing.assert_array_equal(kept.alpha, bare.alpha)


def test_a_vertex_without_r_has_no_predictions_and_an_roi_of_such_keeps_the_first_layer() -> None:
    layers, Y = simulate()
    Y[:, 0] = 3.0
    Y[split().test, 1] = 2.0
    scores = with_predictions(layers, Y)[0]
    np.testing.assert_array_equal(np.isnan(scores.predictions).all(axis=0), np.isnan(scores.r))
    np.testing.assert_array_equal(np.isnan(scores.predictions).any(axis=0), np.isnan(scores.r))
    dead = with_predictions(layers, np.full_like(Y, 1.0))[0]
    assert dead.layer == LAYERS[0]
    assert np.isnan(dead.predictions).all()


def test_chunks_of_vertices_do_not_change_predictions(monkeypatch) -> None:
    layers, Y = simulate(n_vertices=30)
    train, test = torch.from_numpy(split().train), torch.from_numpy(split().test)
    fold, Y = Fold.fit(gram([layers["deep"]]), train, test, 20), torch.from_numpy(Y)
    alphas = torch.tensor([0.1, 10.0, 1e3], dtype=torch.float64).repeat(10)
    whole = predict_each(fold, Y, alphas)
    monkeypatch.setattr("trainables.encoding.ridge.CHUNK_BYTES", 4 * 2 * N_TRAIN * 7)
    torch.testing.assert_close(predict_each(fold, Y, alphas), whole, rtol=0, atol=1e-5)
    r = (whole * (Y[test] - Y[test].mean(0)) / Y[test].std(0, correction=0)).mean(0)
    torch.testing.assert_close(r.double(), correlate_each(fold, Y, alphas), rtol=0, atol=1e-5)


def measured_on(shard: Path, hemisphere: str) -> np.ndarray:
    """All of a hemisphere's responses by row index."""
    blocks = list(read_rows(shard, ("index", hemisphere)))
    order = np.concatenate([block["index"].to_numpy() for block in blocks])
    rows = np.concatenate([fixed_width(block[hemisphere], np.float32) for block in blocks])
    return rows[np.argsort(order)]


def test_a_trial_s_file_joins_with_the_shards_to_the_score_s_r(place: Place) -> None:
    trial, runs = place.untuned(0, 1, 3), place.home / "runs"
    place.runner().run(trial, Listener())
    rows = [
        row
        for row in read_scores(RunDirectory(runs), trial.id).to_pylist()
        if row["protocol"] == "nested"
    ]
    for one in trial.rois:
        found = read_predictions(RunDirectory(runs).prediction_file(trial.id, one.id), "nested")
        mine = [r for r in rows if (r["hemisphere"], r["roi"]) == (one.hemisphere, one.name)]
        assert found.roi == one
        assert [row["vertex"] for row in mine] == found.vertex.tolist()
        assert {row["layer"] for row in mine} == {found.layer}
        assert len(found.index) == 15
        responses = measured_on(place.home / "data" / one.shard, one.hemisphere)
        measured = responses[found.index][:, found.vertex]
        r = correlations(found.values, measured)
        np.testing.assert_allclose(r, [row["r"] for row in mine], atol=1e-3)


def test_predictions_can_be_declined_without_a_change_of_scores(place: Place) -> None:
    trial = place.trial()
    place.runner("with").run(trial, Listener())
    place.runner("without", keep_predictions=False).run(trial, Listener())
    kept, bare = (
        read_scores(RunDirectory(place.home / name), trial.id).drop_columns(["host"]).to_pylist()
        for name in ("with", "without")
    )
    assert kept == bare
    assert len(list((place.home / "with" / "predictions").rglob("*.parquet"))) == 1
    assert not (place.home / "without" / "predictions").exists()


def test_a_trial_without_the_nested_protocol_writes_no_predictions(place: Place) -> None:
    trial = place.trial()
    trial = replace(trial, encoding=replace(trial.encoding, protocols=("paper",)))
    place.runner().run(trial, Listener())
    assert not (place.home / "runs" / "predictions").exists()


@pytest.mark.parametrize("damage", [b"", b"PAR1 half", None])
def test_a_damaged_file_of_predictions_is_named_with_its_cure(place: Place, damage) -> None:
    trial, runs = place.untuned(2), place.home / "runs"
    place.runner().run(trial, Listener())
    path = RunDirectory(runs).prediction_file(trial.id, trial.rois[0].id)
    assert read_predictions(path, "paper") is None
    path.write_bytes(path.read_bytes()[:-20] if damage is None else damage)
    with pytest.raises(
        ValueError, match=f"{path.name}: not a readable prediction file .*run the sweep again"
    ):
        read_predictions(path, "nested")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_keeps_the_predictions_that_the_cpu_does() -> None:
    layers, Y = simulate()
    rois = [(roi("V1v", 5), np.arange(5)), (roi("EBA", 6), np.arange(3, 9))]
    on_gpu = {name: X.cuda() for name, X in layers.items()}
    targets = Targets.gather({"lh": Y}, rois, torch.device("cuda"))
    gpu = score_rois(
        FeatureStore(on_gpu, torch.device("cuda")), targets, split(), encoding("nested"),
        keep_predictions=True,
    )  # fmt: skip
    cpu = score(layers, Y, encoding("nested"), rois=rois, keep_predictions=True)
    for one, other in zip(gpu, cpu, strict=True):
        assert one.layer == other.layer
        np.testing.assert_allclose(one.predictions, other.predictions, atol=5e-3)


def test_a_layer_without_an_r_is_kept_only_until_another_has_one() -> None:
    layers, Y = simulate()
    responses, columns = torch.from_numpy(Y), torch.arange(Y.shape[1])
    with_r, better = [
        score_layer("nested", gram([layers[name]]), responses, split(), encoding())
        for name in LAYERS[:2]
    ]
    none = replace(better, choice=torch.full_like(better.choice, torch.nan))
    kept = ChosenPredictions([columns])
    kept.offer(none, responses)
    first = kept.of_roi[0]
    assert first is not None
    kept.offer(with_r, responses)
    second = kept.of_roi[0]
    assert not np.array_equal(first, second)
    kept.offer(none, responses)
    assert kept.of_roi[0] is second
