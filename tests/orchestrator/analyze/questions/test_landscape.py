"""The model landscape: dissimilarities and intensive PCA against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.analyze.questions import bhattacharyya
from orchestrator.analyze.questions.bhattacharyya import (
    dissimilarities,
    embed,
    normalised,
    one_hot,
    place,
)
from orchestrator.analyze.questions.landscape import compare_all


def models(n_models=5, n_images=30, n_classes=4, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.dirichlet(np.ones(n_classes), n_images) for _ in range(n_models)]


def matrix(many):
    D = dissimilarities(many, many)
    np.fill_diagonal(D, 0.0)
    return D


def test_a_dissimilarity_is_its_definition():
    many = models()
    D = dissimilarities(many, many)
    for u, p in enumerate(many):
        for v, q in enumerate(many):
            expected = -np.mean([np.log(np.sum(np.sqrt(a * b))) for a, b in zip(p, q, strict=True)])
            assert D[u, v] == pytest.approx(expected, abs=1e-12)


def test_it_is_symmetric_with_a_zero_diagonal():
    many = models(seed=1)
    D = dissimilarities(many, many)
    np.testing.assert_allclose(D, D.T, atol=1e-12)
    np.testing.assert_allclose(np.diag(D), 0, atol=1e-8)


def test_to_the_oracle_it_is_half_the_cross_entropy():
    [model] = models(1)
    labels = np.random.default_rng(2).integers(0, 4, 30)
    D = dissimilarities([model], [one_hot(labels, 4)])
    cross_entropy = -np.log(model[np.arange(30), labels]).mean()
    assert D[0, 0] == pytest.approx(cross_entropy / 2, abs=1e-8)


def test_blocks_of_images_change_nothing(monkeypatch):
    many = models()
    whole = dissimilarities(many, many)
    monkeypatch.setattr(bhattacharyya, "BLOCK", 100)
    np.testing.assert_allclose(dissimilarities(many, many), whole, atol=1e-12)


def test_a_class_that_a_model_excludes_is_far_but_finite():
    certain = one_hot(np.zeros(3, np.int64), 2)
    other = one_hot(np.ones(3, np.int64), 2)
    assert np.isfinite(dissimilarities([certain], [other])).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 9), st.integers(0, 1000))
def test_signed_squared_coordinates_reproduce_the_dissimilarities(n_models, seed):
    D = matrix(models(n_models, seed=seed))
    found = embed(D)
    x = found.coordinates
    squared = (found.signs * (x[:, None] - x[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(squared, D, atol=1e-8)


def test_axes_come_by_size_and_explain_all_of_it():
    found = embed(matrix(models(6)))
    sizes = np.abs(found.eigenvalues)
    assert (np.diff(sizes) <= 1e-12).all()
    assert (np.diff(found.stress) >= -1e-12).all()
    assert found.stress[-1] == pytest.approx(1)


def test_an_embedded_model_is_placed_where_it_is():
    D = matrix(models(6))
    found = embed(D)
    placed = place(D, found)
    extent = np.abs(found.eigenvalues) > 1e-9 * np.abs(found.eigenvalues).max()
    np.testing.assert_allclose(placed[:, extent], found.coordinates[:, extent], atol=1e-8)


def test_float32_rows_are_scaled_to_sum_to_one():
    rough = models(1)[0].astype(np.float32)
    np.testing.assert_allclose(normalised(rough).sum(axis=1), 1, atol=1e-15)


def test_only_pairs_of_a_new_model_are_computed():
    many, reads = models(5), []

    def reader(k):
        def read():
            reads.append(k)
            return many[k]

        return read

    keys = [f"m{k}" for k in range(5)]
    first = compare_all(keys[:4], [reader(k) for k in range(4)], {})
    known = {(keys[a], keys[b]): first[a, b] for a in range(4) for b in range(4)}
    reads.clear()
    whole = compare_all(keys, [reader(k) for k in range(5)], known)
    np.testing.assert_allclose(whole, matrix(many), atol=1e-12)
    reads.clear()
    known = {(keys[a], keys[b]): whole[a, b] for a in range(5) for b in range(5)}
    compare_all(keys, [reader(k) for k in range(5)], known)
    assert reads == []
