"""A final readout against scikit-learn: in the responses' units, from either form of a layer."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from trainables.compute.numerics import Numerics
from trainables.encoding import pca
from trainables.encoding.pca import FewFeatures, read_layer
from trainables.encoding.readout import Projection, Readout
from trainables.encoding.refit import correlate_columns, fit_pca, project_rows

N, K = 60, 5
ROWS, OTHERS = torch.arange(0, N, 2), torch.arange(1, N, 2)
ALPHAS = (0.1, 10.0, 1000.0)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def in_chunks(n_features: int) -> list[torch.Tensor]:
    X = normal(N, n_features) * torch.linspace(1, 3, n_features) + 2
    return list(X.split([n_features // 3, n_features - n_features // 3], dim=1))


@pytest.mark.parametrize(("n_features", "is_few"), [(9, True), (90, False)])
def test_predictions_are_scikit_learns(n_features, is_few, monkeypatch) -> None:
    chunks, used, found = in_chunks(n_features), [], pca.leading_components
    monkeypatch.setattr(
        pca, "leading_components", lambda *given: used.append(given[2]) or found(*given)
    )
    numerics = Numerics(deterministic=True)
    layer = read_layer(chunks, n_features, N)
    assert isinstance(layer, FewFeatures) == is_few
    fitted = fit_pca(layer, lambda: chunks, ROWS, K, numerics)
    assert used == [numerics]

    X = torch.cat(chunks, dim=1).numpy()
    Y = 100 + 20 * (X[:, :3] + normal(N, 3, seed=1).numpy())
    readout = fitted.fit_readout(torch.from_numpy(Y)[ROWS], torch.tensor(ALPHAS))
    predicted = readout.predict(project_rows(fitted.projection, chunks, OTHERS))
    projected = PCA(K, svd_solver="full").fit(X[ROWS])
    for vertex, alpha in enumerate(ALPHAS):
        ridge = Ridge(alpha=alpha).fit(projected.transform(X[ROWS]), Y[ROWS, vertex])
        expected = ridge.predict(projected.transform(X[OTHERS]))
        np.testing.assert_allclose(predicted[:, vertex], expected, rtol=1e-4)
    whole = fitted.projection.project(torch.cat(chunks, dim=1)[OTHERS])
    torch.testing.assert_close(project_rows(fitted.projection, chunks, OTHERS), whole)


def test_a_vertex_without_an_alpha_is_predicted_by_its_mean() -> None:
    chunks, Y = in_chunks(9), normal(N, 2)[ROWS] + 3
    fitted = fit_pca(read_layer(chunks, 9, N), lambda: chunks, ROWS, K)
    readout = fitted.fit_readout(Y, torch.tensor([torch.nan, 1.0]))
    predicted = readout.predict(project_rows(fitted.projection, chunks, OTHERS))
    torch.testing.assert_close(predicted[:, 0], Y[:, 0].mean().expand(len(OTHERS)))
    assert predicted[:, 1].std() > 0
    assert readout.scale[0] == 1


def test_deviations_keep_the_digits_that_a_mean_response_rounds_off() -> None:
    components, coefficients = normal(N, K), normal(K, 3, seed=1)
    readout = Readout.of(1e-9 * coefficients, torch.full((3,), 5.0))
    assert readout.predict(components).unique().tolist() == [5.0]
    deviations = readout.predict_deviations(components)
    torch.testing.assert_close(deviations, 1e-9 * components @ coefficients, atol=1e-15, rtol=1e-5)


def test_the_largest_coefficient_of_a_vertex_is_1() -> None:
    readout = Readout.of(torch.tensor([[3.0, 0.0], [-4.0, 0.0]]), torch.tensor([5.0, 6.0]))
    assert readout.coefficients.tolist() == [[0.75, 0.0], [-1.0, 0.0]]
    assert readout.scale.tolist() == [4.0, 1.0]
    assert readout.predict(torch.tensor([[1.0, 1.0]])).tolist() == [[4.0, 6.0]]
    empty = Readout.of(torch.empty(0, 2), torch.tensor([5.0, 6.0]))
    assert empty.predict(torch.empty(3, 0)).tolist() == [[5.0, 6.0]] * 3


def test_without_features_there_is_nothing_to_project() -> None:
    projection = Projection(torch.empty(0), torch.empty(0, K))
    with pytest.raises(ValueError, match=r"^project_rows: no features; expected at least one"):
        project_rows(projection, [], ROWS)


def test_columns_are_correlated_as_numpy_does_and_a_constant_one_has_no_r() -> None:
    measured, predicted = (normal(N, 4, seed=seed).numpy() for seed in (1, 2))
    measured[:, 2], predicted[:, 3] = 7.0, -1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        r = correlate_columns(measured, predicted)
    expected = [np.corrcoef(measured[:, v], predicted[:, v])[0, 1] for v in (0, 1)]
    np.testing.assert_allclose(r[:2], expected, rtol=1e-6)
    assert np.isnan(r[2:]).all()
