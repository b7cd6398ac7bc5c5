"""Score a subject's ROIs on one backbone: every vertex once, every layer in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.compute.numerics import FAST, Numerics
from trainables.encoding.chosen_predictions import ChosenPredictions, Predictions, mean_choice
from trainables.encoding.float32_gram import InexactGramError, float32_gram, uses_float32
from trainables.encoding.layer_features import LayerFeatures
from trainables.encoding.pca import Layer, has_few_features, read_layer
from trainables.encoding.protocols import LayerScores, Split, n_scored, score_layer
from trainables.spec import Encoding, Protocol, Roi

Vertices = np.ndarray[Any, np.dtype[np.int32]]
Values = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class RoiScores:
    """An ROI's scores under one protocol, with the layer that the protocol chose for it."""

    roi: Roi
    protocol: Protocol
    layer: str
    layers: tuple[str, ...]
    vertex: Vertices
    """(n_vertices,) columns of the hemisphere's responses."""
    alpha: Values
    """(n_vertices,) chosen alpha at the chosen layer; NaN where r is."""
    r: Values
    """(n_vertices,) at the chosen layer; NaN where responses or predictions are constant."""
    r_by_layer: Values
    """(n_layers, n_vertices) reported r at every layer, each at its own chosen alpha."""
    choice_by_layer: Values
    """(n_layers, n_vertices) r by which layers are chosen, each at its own chosen alpha.

    An ROI takes the layer of the highest mean over its vertices."""
    n_test: int
    """Images that r is measured on."""
    n_overlap: int = 0
    """How many of the subject's test images the backbone was trained on."""
    n_excluded: int = 0
    """Images that r is not measured on because the backbone was trained on them."""
    predictions: Predictions | None = None
    """(n_test, n_vertices) of mean 0 and variance 1, rows as the split's test images; None where
    they were not asked for, or the protocol has several predictions of an image."""

    @property
    def n_constant(self) -> int:
        """Count the vertices without an r."""
        return int(np.isnan(self.r).sum())


@dataclass(frozen=True)
class Targets:
    """The responses of several ROIs, each vertex once."""

    rois: tuple[Roi, ...]
    vertices: tuple[Vertices, ...]
    """Vertices of each ROI: columns of its hemisphere's responses."""
    columns: tuple[Tensor, ...]
    """The same vertices as columns of Y."""
    Y: Tensor
    """(n_images, n_distinct_vertices) float32."""

    @classmethod
    def gather(
        cls,
        responses: Mapping[str, np.ndarray[Any, np.dtype[np.float32]]],
        rois: Sequence[tuple[Roi, Vertices]],
        device: torch.device,
    ) -> "Targets":
        """Take the ROIs' vertices from the responses of their hemispheres.

        responses: per hemisphere (n_images, n_vertices_of_hemisphere).
        """
        parts: list[np.ndarray[Any, Any]] = []
        first: dict[str, tuple[int, Vertices]] = {}
        for hemisphere in sorted({roi.hemisphere for roi, _ in rois}):
            distinct = np.unique(
                np.concatenate([v for roi, v in rois if roi.hemisphere == hemisphere])
            )
            first[hemisphere] = (sum(part.shape[1] for part in parts), distinct)
            parts.append(responses[hemisphere][:, distinct])
        columns = []
        for roi, vertices in rois:
            start, distinct = first[roi.hemisphere]
            columns.append(torch.from_numpy(start + np.searchsorted(distinct, vertices)))
        Y = torch.from_numpy(np.concatenate(parts, axis=1)).to(device)
        names, vertices_of = zip(*rois, strict=True)
        return cls(names, vertices_of, tuple(columns), Y)


def score_rois(
    features: LayerFeatures,
    targets: Targets,
    split: Split,
    encoding: Encoding,
    *,
    numerics: Numerics = FAST,
    keep_predictions: bool = False,
) -> list[RoiScores]:
    """Score every ROI under every protocol; one layer's products are in memory at a time.

    Row i of the features and of targets.Y is the same image. Returns ROIs × protocols,
    ROI by ROI, with their predictions where these are kept and the protocol has them.
    Raises ValueError when there are too few images for a protocol.
    """
    kept = {name: ChosenPredictions(targets.columns) for name in encoding.protocols}
    by_protocol: dict[Protocol, list[LayerScores]] = {name: [] for name in encoding.protocols}
    for layer in encoding.layers:
        by_layer = _score_one_layer(features, layer, targets.Y, split, encoding, numerics)
        for protocol, of_layer in by_layer.items():
            if keep_predictions:
                kept[protocol].offer(of_layer, targets.Y)
            by_protocol[protocol].append(replace(of_layer, refit=None))
    stacked = {name: _stack(scores) for name, scores in by_protocol.items()}
    return [
        replace(
            _select(targets, number, stacked[protocol], (protocol, split, encoding)),
            predictions=kept[protocol].of_roi[number],
        )
        for number in range(len(targets.rois))
        for protocol in encoding.protocols
    ]


def _score_one_layer(
    features: LayerFeatures,
    name: str,
    Y: Tensor,
    split: Split,
    encoding: Encoding,
    numerics: Numerics,
) -> dict[Protocol, LayerScores]:
    """Score a layer under every protocol, from a float32 Gram matrix where that is accurate."""
    n_features = features.n_features(name)

    def score(layer: Layer) -> dict[Protocol, LayerScores]:
        return {
            protocol: score_layer(protocol, layer, Y, split, encoding, numerics)
            for protocol in encoding.protocols
        }

    if uses_float32(Y.device, numerics) and not has_few_features(n_features, len(Y)):
        try:
            k, alpha = encoding.n_components, min(encoding.alphas)
            return score(float32_gram(features.columns(name), k, alpha))
        except InexactGramError:
            pass  # read it again, in float64
    return score(read_layer(features.columns(name), n_features, len(Y)))


def _stack(scores: Sequence[LayerScores]) -> LayerScores:
    """Stack layers: every array becomes (n_layers, n_vertices)."""
    alpha, choice, r = (
        torch.stack([getattr(s, name) for s in scores]).cpu() for name in ("alpha", "choice", "r")
    )
    return LayerScores(alpha, choice, r)


def _select(
    targets: Targets,
    number: int,
    scores: LayerScores,
    context: tuple[Protocol, Split, Encoding],
) -> RoiScores:
    """Choose an ROI's layer: the highest mean of the choice over vertices that have one.

    Ties, and an ROI without any scored vertex, take the first layer.
    """
    protocol, split, encoding = context
    columns = targets.columns[number]
    choice = torch.stack([mean_choice(of_layer, columns) for of_layer in scores.choice])
    best = int(choice.nan_to_num(nan=-torch.inf).argmax())
    r_by_layer = scores.r[:, columns]
    return RoiScores(
        roi=targets.rois[number],
        protocol=protocol,
        layer=encoding.layers[best],
        layers=encoding.layers,
        vertex=targets.vertices[number],
        alpha=scores.alpha[best, columns].numpy(),
        r=r_by_layer[best].numpy(),
        r_by_layer=r_by_layer.numpy(),
        choice_by_layer=scores.choice[:, columns].numpy(),
        n_test=n_scored(protocol, split, encoding.n_folds),
    )
