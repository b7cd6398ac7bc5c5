"""The fit of all training rows, whose components those of folds are found from on a GPU."""

from dataclasses import replace

from torch import Tensor

from trainables.compute.device import has_slow_float64
from trainables.compute.numerics import Numerics, is_truncated
from trainables.compute.warm_subspace import RoughStart, Start, block_size
from trainables.encoding.pca import FewFeatures, Layer
from trainables.encoding.ridge import Fold
from trainables.spec import Encoding


def fit_whole(
    layer: Layer,
    rows: tuple[Tensor, Tensor],
    encoding: Encoding,
    numerics: Numerics,
    weights: Tensor | None,
) -> tuple[Fold, Start | None]:
    """Fit all training rows, and keep what the folds among them start from.

    rows: training rows and test rows. weights: of the training rows. The start is None on a CPU,
    where Lanczos takes fewer operations, on a GPU with slow float64, where it takes fewer of these,
    and for folds whose components truncation does not find.
    """
    train, test = rows
    k, n = encoding.n_components, len(train)
    if not _is_warm(layer, n, encoding, numerics):
        return Fold.fit(layer, train, test, k, numerics, weights), None
    more = Fold.fit(layer, train, test, block_size(k), numerics, weights, RoughStart(k))
    found = more.components
    fold = replace(more, components=found.first(k))
    if len(found.variances) < block_size(k):  # of low rank
        return fold, None
    vectors = found.train_vectors.new_zeros(int(train.max()) + 1, block_size(k))
    vectors[more.train] = found.train_vectors
    return fold, Start(found.variances, vectors, n)


def _is_warm(layer: Layer, n: int, encoding: Encoding, numerics: Numerics) -> bool:
    k, n_fold = encoding.n_components, n - n // encoding.n_folds
    return (
        not isinstance(layer, FewFeatures)
        and layer.device.type == "cuda"
        and not has_slow_float64(layer.device)
        and is_truncated(n_fold, k, numerics)
        and is_truncated(n, block_size(k), numerics)
    )
