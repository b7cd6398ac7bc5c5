"""Logistic regression: torch's solver against scikit-learn's, and the folded head."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trainables.probes.classification import measure
from trainables.probes.logistic import C, fit_by_scikit_learn, fit_head, minimise


def problem(n=240, n_features=12, n_classes=4, seed=0):
    """Draw overlapping classes, on features of many scales, one of them constant."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    centres = generator.normal(0, 1, (n_classes, n_features))
    X = centres[labels] + generator.normal(0, 1.5, (n, n_features))
    X = X * generator.uniform(0.1, 30, n_features) + generator.normal(0, 50, n_features)
    X[:, 3] = 7.0
    return torch.from_numpy(X).float(), torch.from_numpy(labels)


@pytest.mark.parametrize("n_classes", [2, 4, 7])
def test_torch_and_scikit_learn_agree(n_classes):
    X, labels = problem(n_classes=n_classes)
    X = (X - X.mean(0)) / X.std(0).clamp_min(1e-6)
    ours, theirs = minimise(X, labels, n_classes), fit_by_scikit_learn(X, labels, n_classes)
    assert ours[2]
    assert theirs[2]
    scores = [measure(X.double() @ weight.T + bias, labels) for weight, bias, _ in (ours, theirs)]
    assert scores[0]["accuracy"] == pytest.approx(scores[1]["accuracy"], abs=0.002)
    assert scores[0]["log_loss"] == pytest.approx(scores[1]["log_loss"], abs=1e-3)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_the_folded_head_is_the_pipeline(n_classes):
    X, labels = problem(n_classes=n_classes)
    head = fit_head(X[:180], labels[:180], n_classes)
    strength = 2 * C if n_classes == 2 else C  # it penalises the difference of two classes
    pipeline = make_pipeline(
        StandardScaler(), LogisticRegression(C=strength, max_iter=2000, tol=1e-6)
    )
    pipeline.fit(X[:180].numpy(), labels[:180].numpy())
    found = torch.softmax(head.logits(X[180:]), dim=1).numpy()
    np.testing.assert_allclose(found, pipeline.predict_proba(X[180:].numpy()), atol=1e-3)


def test_separable_classes_are_reported_apart():
    labels = torch.arange(60) % 3
    X = torch.eye(3)[labels] * 10 + 0.01 * torch.randn(60, 3, generator=torch.Generator())
    head = fit_head(X, labels, 3)
    assert measure(head.logits(X), labels)["accuracy"] == 1


def test_shuffled_labels_score_at_chance():
    X, labels = problem(n=800, n_features=5)
    shuffled = labels[torch.randperm(800, generator=torch.Generator().manual_seed(0))]
    head = fit_head(X[:600], shuffled[:600], 4)
    assert measure(head.logits(X[600:]), shuffled[600:])["accuracy"] == pytest.approx(0.25, abs=0.1)


def test_top_five_is_reported_of_more_than_five_classes():
    logits = torch.arange(7.0).repeat(2, 1)
    numbers = measure(logits, torch.tensor([6, 1]))
    assert numbers["accuracy"] == 0.5
    assert numbers["top5"] == 0.5
    assert "top5" not in measure(logits[:, :5], torch.tensor([4, 1]))
