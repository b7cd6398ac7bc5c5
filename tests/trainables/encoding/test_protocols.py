"""The protocols against plain loops, and what each looks at."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from torch import Tensor

from tests.builders.layer_features import (
    ALPHAS,
    CPU,
    LAYERS,
    N_TRAIN,
    N_VERTICES,
    N,
    encoding,
    only,
    roi,
    score,
    simulate,
    split,
)
from trainables.compute.numerics import Numerics
from trainables.encoding.features import FeatureStore
from trainables.encoding.pca import gram
from trainables.encoding.protocols import Split, contiguous_folds, score_layer
from trainables.encoding.ridge import Fold
from trainables.encoding.score_rois import Targets, score_rois
from trainables.spec import PROTOCOLS, Protocol

# --- A slow, obvious implementation of the protocols, with scikit-learn ---


def reference_r(X: np.ndarray, Y: np.ndarray, train, test, alpha: float) -> np.ndarray:
    pca = PCA(min(20, len(train) - 1, X.shape[1]), svd_solver="full").fit(X[train])
    ridge = Ridge(alpha=alpha).fit(pca.transform(X[train]), Y[train])
    predicted = ridge.predict(pca.transform(X[test])).reshape(len(test), -1)
    return np.array([np.corrcoef(predicted[:, v], Y[test, v])[0, 1] for v in range(Y.shape[1])])


def reference_folds(rows: np.ndarray) -> list[tuple[list[int], list[int]]]:
    size = len(rows) // 5
    blocks = [list(rows[i * size : (i + 1) * size]) for i in range(5)]
    return [([row for row in rows if row not in block], block) for block in blocks]


def reference_cv(X: np.ndarray, Y: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(n_alphas, n_vertices): r averaged over folds."""
    return np.array(
        [
            np.mean([reference_r(X, Y, tr, te, alpha) for tr, te in reference_folds(rows)], axis=0)
            for alpha in ALPHAS
        ]
    )


def reference(layers: dict[str, Tensor], Y: np.ndarray, protocol: Protocol, parts: Split):
    """The chosen layer, and each vertex's alpha and r there."""
    Y, best = Y.astype(float), None
    released = parts.train[: int(0.75 * N) + int(0.1 * N)]
    clean = parts.train[-(len(parts.train) // 5) :]
    rows = {"nested": parts.train, "clean": clean, "paper": parts.test, "released": released}[
        protocol
    ]
    for name, features in layers.items():
        X = features.double().numpy()
        cv = reference_cv(X, Y, rows)
        alpha = np.array(ALPHAS)[cv.argmax(axis=0)]
        if best is None or cv.max(axis=0).mean() > best[0]:
            best = (cv.max(axis=0).mean(), name, alpha, cv.max(axis=0), X)
    _, layer, alpha, r, X = best
    if protocol in ("nested", "clean"):
        r = np.array(
            [reference_r(X, Y[:, [v]], rows, parts.test, alpha[v])[0] for v in range(Y.shape[1])]
        )
    return layer, alpha, r


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_protocol_chooses_and_scores_as_plain_loops_do(protocol, seed) -> None:
    layers, Y = simulate(seed)
    parts = split(seed=seed)
    layer, alpha, r = reference(layers, Y, protocol, parts)
    scores = only(layers, Y, protocol, split=parts)
    assert scores.layer == layer
    np.testing.assert_array_equal(scores.alpha, alpha)
    np.testing.assert_allclose(scores.r, r, atol=1e-5)


def test_folds_are_contiguous_and_the_remainder_is_only_trained_on() -> None:
    rows = np.arange(100, 117)
    folds = list(contiguous_folds(rows, 5))
    assert [list(held_out) for _, held_out in folds] == [
        [100, 101, 102], [103, 104, 105], [106, 107, 108], [109, 110, 111], [112, 113, 114],
    ]  # fmt: skip
    for training, held_out in folds:
        assert sorted([*training.tolist(), *held_out.tolist()]) == rows.tolist()


@pytest.mark.parametrize(
    ("protocol", "n_train"), [("nested", 14), ("clean", 70), ("paper", 106), ("released", 14)]
)
def test_too_few_images_for_the_folds_raise_with_both_numbers(protocol, n_train) -> None:
    layers, Y = simulate()
    with pytest.raises(ValueError, match=r"14 images in 5 folds.*at least 15 images, or fewer"):
        only(layers, Y, protocol, split=split(n_train=n_train))


def test_too_few_test_images_raise() -> None:
    layers, Y = simulate()
    with pytest.raises(ValueError, match="nested: 2 test images, expected at least 3"):
        only(layers, Y, "nested", split=split(n_train=N - 2))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_choice_of_every_vertex_and_layer_is_the_best_mean_r_over_folds(protocol) -> None:
    layers, Y = simulate()
    parts, scores = split(), only(layers, Y, protocol)
    released = parts.train[: int(0.75 * N) + int(0.1 * N)]
    rows = {
        "nested": parts.train,
        "clean": parts.clean,
        "paper": parts.test,
        "released": released,
    }[protocol]
    for found, X in zip(scores.choice_by_layer, layers.values(), strict=True):
        expected = reference_cv(X.double().numpy(), Y.astype(float), rows).max(axis=0)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert scores.layer == LAYERS[int(scores.choice_by_layer.mean(axis=1).argmax())]
    is_reported = protocol in ("paper", "released")
    assert np.array_equal(scores.choice_by_layer, scores.r_by_layer) is is_reported


def test_nested_choices_do_not_look_at_the_test_images() -> None:
    layers, Y = simulate()
    before, changed = only(layers, Y, "nested"), Y.copy()
    changed[split().test] = np.random.default_rng(0).standard_normal((N - N_TRAIN, N_VERTICES))
    after = only(layers, changed, "nested")
    assert after.layer == before.layer
    np.testing.assert_array_equal(after.alpha, before.alpha)
    np.testing.assert_array_equal(after.choice_by_layer, before.choice_by_layer)
    assert np.abs(after.r - before.r).min() > 0


def test_paper_and_released_look_at_their_own_side_only() -> None:
    layers, Y = simulate()
    for protocol, other in (("paper", split().train), ("released", split().test)):
        changed = Y.copy()
        changed[other] = 0
        before, after = only(layers, Y, protocol), only(layers, changed, protocol)
        np.testing.assert_allclose(after.r, before.r, atol=1e-6)


def test_released_takes_the_first_images_of_the_permutation() -> None:
    order = np.random.default_rng(0).permutation(19)
    parts = Split(order[:16], order[16:], 19)
    assert parts.released.tolist() == order[: 14 + 1].tolist()


def test_released_takes_all_training_images_when_there_are_fewer() -> None:
    order = np.arange(20)
    assert len(Split(order[:10], order[10:], 20).released) == 10


@pytest.mark.parametrize(
    "protocols", [("paper",), ("released",), ("nested",), ("clean",), PROTOCOLS]
)
def test_scores_need_only_the_rows_that_compact_lists(protocols) -> None:
    layers, Y = simulate()
    rows, compact = split().compact(protocols)
    whole = score(layers, Y, encoding(*protocols))
    few = {name: X[torch.from_numpy(rows)] for name, X in layers.items()}
    part = score(few, Y[rows], encoding(*protocols), split=compact)
    assert len(rows) == {"paper": 40, "released": 80, "clean": 56}.get(protocols[0], 120)
    for a, b in zip(whole, part, strict=True):
        assert (a.layer, a.n_test) == (b.layer, b.n_test)
        np.testing.assert_allclose(a.r, b.r, atol=1e-6)


def test_each_roi_takes_the_layer_its_vertices_follow() -> None:
    layers, Y = simulate(n_vertices=30, noise=0.2)
    thirds = [np.arange(0, 10), np.arange(10, 20), np.arange(20, 30)]
    rois = [
        (roi(roi_name, 10), v) for roi_name, v in zip(("V1v", "V2v", "V3v"), thirds, strict=True)
    ]
    scores = score(layers, Y, encoding("nested", n_components=200), rois=rois)
    assert [s.layer for s in scores] == list(LAYERS)
    assert scores[0].r.mean() > 0.8


def test_rois_come_with_every_protocol_in_order() -> None:
    layers, Y = simulate()
    rois = [(roi("V1v", 3), np.arange(3)), (roi("EBA", 2), np.array([7, 8]))]
    scores = score(layers, Y, encoding(), rois=rois)
    expected = [(roi_name, protocol) for roi_name in ("V1v", "EBA") for protocol in PROTOCOLS]
    assert [(s.roi.name, s.protocol) for s in scores] == expected
    assert [s.n_test for s in scores[:4]] == [40, 40, 40, 80]


def test_a_vertex_in_two_rois_is_computed_once_and_scores_the_same() -> None:
    rois = [
        (roi("V1v", 4), np.array([2, 3, 5, 8])),
        (roi("EBA", 3), np.array([8, 3, 0])),
        (roi("EBA", 2, "rh"), np.array([1, 3])),
    ]
    layers, Y = simulate()
    both = {"lh": Y, "rh": Y[:, ::-1].copy()}
    targets = Targets.gather(both, rois, CPU)
    assert targets.Y.shape == (N, 5 + 2)
    for (one, vertices), columns in zip(rois, targets.columns, strict=True):
        np.testing.assert_array_equal(targets.Y[:, columns], both[one.hemisphere][:, vertices])
    scores = score_rois(FeatureStore(layers), targets, split(), encoding("nested"))
    np.testing.assert_array_equal(scores[0].r_by_layer[:, [3, 1]], scores[1].r_by_layer[:, :2])


def test_scores_of_an_roi_do_not_depend_on_other_rois() -> None:
    layers, Y = simulate()
    rois = [(roi("V1v", 4), np.arange(4)), (roi("EBA", 6), np.arange(3, 9))]
    alone = score(layers, Y, encoding("nested"), rois=rois[1:])[0]
    together = score(layers, Y, encoding("nested"), rois=rois)[1]
    assert alone.layer == together.layer
    np.testing.assert_allclose(alone.r_by_layer, together.r_by_layer, atol=1e-6)


def test_shuffled_responses_score_zero_nested_and_more_by_the_paper() -> None:
    layers, _ = simulate()
    noise = np.random.default_rng(0).standard_normal((N, 300)).astype(np.float32)
    rois = [(roi("V1v", 300), np.arange(300))]
    nested, paper = score(layers, noise, encoding("nested", "paper"), rois=rois)
    standard_error = 1 / np.sqrt(N - N_TRAIN - 1) / np.sqrt(20)  # 20 components: not 300 free r
    assert abs(nested.r.mean()) < 3 * standard_error
    assert paper.r.mean() > nested.r.mean() + 0.03


def test_planted_signal_is_recovered_by_every_protocol() -> None:
    layers, Y = simulate(noise=0.05)
    large = encoding("nested", "paper", "released", n_components=200)
    for scores in score(layers, Y[:, 3:6], large):
        assert scores.layer == "middle"
        assert scores.r.mean() > 0.75


def test_on_disk_features_give_the_same_scores(tmp_path: Path) -> None:
    layers, Y = simulate()
    files = {}
    for name, X in layers.items():
        files[name] = torch.from_numpy(
            np.memmap(tmp_path / name, np.float32, mode="w+", shape=tuple(X.shape))
        ).copy_(X)
    for kept, disk_images in zip(
        score(layers, Y, encoding()), score(files, Y, encoding()), strict=True
    ):
        np.testing.assert_array_equal(kept.r_by_layer, disk_images.r_by_layer)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_gpu_scores_a_layer_as_the_cpu_does(protocol) -> None:
    layers, Y = simulate()
    X, Y_cpu = layers["deep"], torch.from_numpy(Y)
    cpu = score_layer(protocol, gram([X]), Y_cpu, split(), encoding())
    gpu = score_layer(protocol, gram([X.cuda()]), Y_cpu.cuda(), split(), encoding())
    torch.testing.assert_close(gpu.r.cpu(), cpu.r, rtol=0, atol=1e-5)
    torch.testing.assert_close(gpu.alpha.cpu(), cpu.alpha)


def test_every_fold_is_fitted_with_the_trial_s_numerics(monkeypatch) -> None:
    layers, Y = simulate()
    used, fit = [], Fold.fit

    def recorded(*arguments):
        used.append(arguments[4])
        return fit(*arguments)

    monkeypatch.setattr(Fold, "fit", recorded)
    numerics = Numerics(deterministic=True)
    for protocol in PROTOCOLS:
        score_layer(
            protocol, gram([layers["middle"]]), torch.from_numpy(Y), split(), encoding(), numerics
        )
    assert used == [numerics] * (6 + 6 + 5 + 5)
