"""The model landscape: dissimilarities and intensive PCA against their definitions."""

from decimal import Decimal, getcontext

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from torch.nn.functional import cross_entropy

from orchestrator.analyze.questions import model_distances
from orchestrator.analyze.questions.bhattacharyya import (
    dissimilarities,
    embed,
    log_one_hot,
    place,
)
from orchestrator.analyze.questions.model_distances import compare_all
from orchestrator.report.sections.catalogue import SECTIONS
from tests.builders.uneven_sweep import table_of


def models(n_models=5, n_images=30, n_classes=4, seed=0):
    generator = np.random.default_rng(seed)
    return [np.log(generator.dirichlet(np.ones(n_classes), n_images)) for _ in range(n_models)]


def compare(many, others):
    """Compare every model with every other, all images at once."""
    return dissimilarities([(np.stack(many, axis=1), np.stack(others, axis=1))])


def matrix(many):
    D = compare(many, many)
    np.fill_diagonal(D, 0.0)
    return D


def test_a_dissimilarity_is_its_definition():
    many = models()
    D = compare(many, many)
    for u, p in enumerate(many):
        for v, q in enumerate(many):
            overlaps = np.sqrt(np.exp(p) * np.exp(q)).sum(axis=1)
            expected = -np.mean(np.log(overlaps))
            assert D[u, v] == pytest.approx(expected, abs=1e-12)


def test_it_is_symmetric_with_a_zero_diagonal():
    many = models(seed=1)
    D = compare(many, many)
    np.testing.assert_allclose(D, D.T, atol=1e-12)
    np.testing.assert_allclose(np.diag(D), 0, atol=1e-8)


def logits_that_underflow(n_images=60, n_classes=5, scale=900.0):
    """Draw logits of two models far enough apart that probabilities are 0 in float64."""
    generator = np.random.default_rng(2)
    return [scale * generator.normal(size=(n_images, n_classes)) for _ in range(2)]


def exact_dissimilarity(u, v):
    """Compute d from logits with 60 decimal digits."""
    getcontext().prec = 60

    def log_softmax(row):
        values = [Decimal(float(one)) for one in row]
        top = max(values)
        normaliser = top + sum((one - top).exp() for one in values).ln()
        return [one - normaliser for one in values]

    total = Decimal(0)
    for a, b in zip(u, v, strict=True):
        pairs = zip(log_softmax(a), log_softmax(b), strict=True)
        total -= sum(((p + q) / 2).exp() for p, q in pairs).ln()
    return float(total / len(u))


def test_probabilities_that_underflow_keep_their_distance():
    u, v = logits_that_underflow()
    logs = [log_softmax(one, axis=1) for one in (u, v)]
    assert (np.exp(logs[0]) == 0).any(axis=1).mean() > 0.9
    found = compare(logs, logs)
    assert found[0, 1] == pytest.approx(exact_dissimilarity(u, v), rel=1e-12)
    np.testing.assert_allclose(np.diag(found), 0, atol=1e-9)


def test_to_the_oracle_it_is_half_the_log_loss_where_the_true_class_underflows():
    [logits, _] = logits_that_underflow()
    labels = np.random.default_rng(3).integers(0, 5, len(logits))
    log_loss = float(cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)))
    found = compare([log_softmax(logits, axis=1)], [log_one_hot(labels, 5)])
    assert log_loss > 708
    assert found[0, 0] == pytest.approx(log_loss / 2, abs=1e-9)


def test_models_that_share_no_class_are_infinitely_far():
    certain = log_one_hot(np.zeros(3, np.int64), 2)
    other = log_one_hot(np.ones(3, np.int64), 2)
    assert compare([certain], [other])[0, 0] == np.inf


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


def streams_of(many, reads):
    """Read models in pieces, and note which of them are read."""

    def stream(k):
        def read(size):
            reads.append(k)
            return (many[k][start : start + size] for start in range(0, len(many[k]), size))

        return read

    return [stream(k) for k in range(len(many))]


@pytest.mark.parametrize(("values", "at_once"), [(10**6, 256), (1, 256), (40, 2), (40, 3)])
def test_pieces_of_images_and_groups_of_models_change_nothing(monkeypatch, values, at_once):
    many = models(5)
    monkeypatch.setattr(model_distances, "VALUES", values)
    monkeypatch.setattr(model_distances, "AT_ONCE", at_once)
    found = compare_all(list("abcde"), streams_of(many, []), [], (30, 4))
    np.testing.assert_allclose(found, matrix(many), atol=1e-12)


def test_only_pairs_of_a_new_model_are_computed(monkeypatch):
    many, reads = models(5), []
    keys = [f"m{k}" for k in range(5)]
    streams = streams_of(many, reads)
    first = compare_all(keys[:4], streams[:4], [], (30, 4))
    assert sorted(reads) == [0, 1, 2, 3]
    np.testing.assert_allclose(first, matrix(many[:4]), atol=1e-12)
    planted = first + 7.0
    order = [4, 2, 0, 1, 3]
    found = compare_all(
        [keys[k] for k in order], [streams[k] for k in order], [(keys[:4], planted)], (30, 4)
    )
    np.fill_diagonal(planted, 0.0)
    expected = matrix(many)
    expected[:4, :4] = planted
    np.testing.assert_allclose(found, expected[np.ix_(order, order)], atol=1e-12)
    reads.clear()
    compare_all(keys, streams, [(["m9", *keys], np.ones((6, 6)))], (30, 4))
    assert reads == []


def test_chance_is_a_reference_that_moves_no_other(uneven):
    inputs, _ = uneven
    rows = table_of(inputs, "landscape").to_pandas()
    for _, of_task in rows.groupby("task"):
        assert of_task["method"].tolist()[-2:] == ["oracle", "chance"]
        D = np.stack(of_task["dissimilarities"])
        np.testing.assert_allclose(D, D.T, atol=1e-9)
        assert D[-1, -2] == pytest.approx(np.log(3) / 2)  # to the oracle, half the log-loss
        assert of_task["accuracy"].iloc[-1] == pytest.approx(1 / 3)
        without = embed(D[:-1, :-1])
        coordinates = np.stack(of_task["coordinates"])
        np.testing.assert_allclose(coordinates[:-1], without.coordinates[:, :5], atol=1e-8)
        np.testing.assert_allclose(of_task["stress"].iloc[0], without.stress[:5], atol=1e-9)
        groups = of_task.set_index("roi")["model_group"]
        assert set(groups["V1v"]) == {"Early-L"}
        assert set(groups["EBA"]) == {"Body"}
        assert set(groups["FFA-1"]) == {"Face"}
    section = SECTIONS["landscape"](table_of(inputs, "landscape"))
    n = len(of_task) - 2
    assert all(f"of {n} backbones and the oracle" in one.caption for one in section.figures)
