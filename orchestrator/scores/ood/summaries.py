"""Rows of models' scores on NSD-synthetic: by ROIs, method and class of images, with intervals."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestrator.scores.rows import By, Row, method_order, roi_weights, rois_of, rows_by
from orchestrator.scores.statistics.hierarchical_interval import Uncertainty, mean_uncertainty
from orchestrator.scores.statistics.roi_differences import (
    Images,
    RoiDifference,
    TrialScore,
    subtract,
)

Record = Mapping[Hashable, Any]

IN_DISTRIBUTION: Final = -1
"""Number of the one image that stands for NSD's test images. The errors of models on these are
taken as equal in all ROIs and subjects, which makes intervals of differences rather too wide."""


@dataclass(frozen=True)
class Refitted:
    """The r of a readout that was fitted to NSD-synthetic's other images."""

    r: float
    uncertainty: Uncertainty
    explained: float | None


@dataclass(frozen=True)
class OodSummary:
    """A method's r on NSD's test images and on NSD-synthetic; None where it is unknown."""

    row: Row
    method: str
    image_class: str
    n_images: int
    n_groups: int
    """Groups of images that are alike, which the refitted readout's folds do not divide."""
    r_in: float
    r: float
    uncertainty: Uncertainty
    """Of r."""
    of_difference: Uncertainty
    """Of r minus r_in."""
    ceiling_in: float | None
    ceiling: float | None
    explained_in: float | None
    """Median over an ROI's vertices of r |r| / ceiling²; None without a ceiling."""
    explained: float | None
    refitted: Refitted | None
    """None where there are too few groups of images."""
    n_vertices: int
    rois: tuple[str, ...]
    """Ids of the ROIs that it has models of."""
    n_subjects: int
    n_models: int

    @property
    def difference(self) -> float:
        """Return r on NSD-synthetic minus r on NSD's test images."""
        return self.r - self.r_in


def summarise(scores: pa.Table, by: By) -> list[OodSummary]:
    """Summarise every method on every row of ROIs, over all images and by class.

    scores: rows of all models, as read by `model_scores.read_scores`. Means are over the vertices
    of an ROI, then its models, then the ROIs of a subject, then subjects.
    """
    frame = scores.filter(pa.compute.is_valid(scores["r_mean"])).to_pandas()
    frame["method"] = _labels(frame)
    numbers = {name: n for n, name in enumerate(dict.fromkeys(_all_images(frame)))}
    rois = rois_of(frame)
    classes = list(dict.fromkeys(frame["image_class"]))
    found = []
    for row in rows_by(rois, by):
        for method in method_order(list(frame["method"].unique())):
            for name in classes:
                chosen = frame[
                    frame["roi_id"].isin(row.rois)
                    & (frame["method"] == method)
                    & (frame["image_class"] == name)
                ]
                if not chosen.empty:
                    found.append(_summary(row, method, name, chosen, numbers))
    return found


def _all_images(frame: pd.DataFrame) -> Iterable[str]:
    return (name for images in frame["image"] for name in images)


def _labels(frame: pd.DataFrame) -> "pd.Series[str]":
    """Name the methods, with the digits of the setting where one has several settings."""
    n_settings = frame.groupby("method")["setting"].nunique()
    several = frame["method"].map(n_settings) > 1
    labels: pd.Series[str] = frame["method"].where(
        ~several, frame["method"] + " " + frame["setting"]
    )
    return labels


def _summary(
    row: Row, method: str, name: str, chosen: pd.DataFrame, numbers: Mapping[str, int]
) -> OodSummary:
    rois = rois_of(chosen)
    weights = roi_weights(rois).to_numpy()
    by_roi = {str(roi): chosen[chosen["roi_id"] == roi] for roi in rois.index}
    outside = [_roi(part, numbers, "r_mean", "effect") for part in by_roi.values()]
    drops = [_roi(p, numbers, "r_mean", "effect", minus_inside=True) for p in by_roi.values()]
    inside = [float(part["r_in_mean"].mean()) for part in by_roi.values()]
    ceiling, explained = _explained_of_rois(by_roi, rois, "r", "noise_ceiling")
    ceiling_in, explained_in = _explained_of_rois(by_roi, rois, "r_in", "noise_ceiling_in")
    return OodSummary(
        row=row,
        method=method,
        image_class=name,
        n_images=int(chosen["n_images"].max()),
        n_groups=int(chosen["n_groups"].max()),
        r_in=float(weights @ inside),
        r=float(weights @ [one.difference for one in outside]),
        uncertainty=mean_uncertainty(outside, weights.tolist()),
        of_difference=mean_uncertainty(drops, weights.tolist()),
        ceiling_in=ceiling_in,
        ceiling=ceiling,
        explained_in=explained_in,
        explained=explained,
        refitted=_refitted(by_roi, rois, numbers),
        n_vertices=sum(int(_averaged(_records(part)[0]).sum()) for part in by_roi.values()),
        rois=tuple(map(str, rois.index)),
        n_subjects=len({one.subject for one in outside}),
        n_models=len(chosen),
    )


def _refitted(
    by_roi: Mapping[str, pd.DataFrame], rois: pd.DataFrame, numbers: Mapping[str, int]
) -> Refitted | None:
    """Average the refitted readouts' r; None unless each model has one."""
    if any(part["r_refitted_mean"].isna().any() for part in by_roi.values()):
        return None
    weights = roi_weights(rois).to_numpy()
    found = [_roi(part, numbers, "r_refitted_mean", "effect_refitted") for part in by_roi.values()]
    return Refitted(
        r=float(weights @ [one.difference for one in found]),
        uncertainty=mean_uncertainty(found, weights.tolist()),
        explained=_explained_of_rois(by_roi, rois, "r_refitted", "noise_ceiling")[1],
    )


def _explained_of_rois(
    by_roi: Mapping[str, pd.DataFrame], rois: pd.DataFrame, r: str, ceiling: str
) -> tuple[float, float] | tuple[None, None]:
    """Average the mean ceilings and the median shares of ROIs; None where none is known."""
    found = {
        roi: pair
        for roi, part in by_roi.items()
        if (pair := _explained(part, r, ceiling)) is not None
    }
    if not found:
        return None, None
    weights = roi_weights(rois.loc[list(found)]).to_numpy()
    mean_ceiling, mean_share = weights @ np.array(list(found.values()))
    return float(mean_ceiling), float(mean_share)


def _records(models: pd.DataFrame) -> list[Record]:
    """List the rows of models, which have lists in some columns."""
    return [*models.to_dict("records")]


def _averaged(model: Record) -> Any:
    """Return the vertices of a model that have both r: (n_vertices,) bool."""
    r, inside = (np.asarray(model[name], np.float64) for name in ("r", "r_in"))
    return np.isfinite(r) & np.isfinite(inside)


def _roi(
    models: pd.DataFrame,
    numbers: Mapping[str, int],
    mean: str,
    effects: str,
    *,
    minus_inside: bool = False,
) -> RoiDifference:
    """Average the models of an ROI: their r on NSD-synthetic, or that minus r on NSD's images.

    mean, effects: columns of r and of what each image adds to it.
    """
    scores = []
    for one in _records(models):
        number = np.array([numbers[name] for name in one["image"]], np.int64)
        effect = np.asarray(one[effects], np.float64)
        r = float(one[mean])
        if minus_inside:
            number = np.append(number, IN_DISTRIBUTION)
            effect = np.append(effect, np.nan_to_num(float(one["standard_error_in"])))
            r -= float(one["r_in_mean"])
        seed: str | None = None if one["seed"] is None else str(one["seed"])
        scores.append(TrialScore(seed, r, Images.of_rows(number, effect)))
    return subtract((models["dataset"].iloc[0], models["subject"].iloc[0]), scores, ())


def _explained(models: pd.DataFrame, r: str, ceiling: str) -> tuple[float, float] | None:
    """Return an ROI's mean ceiling and median share, averaged over its models; None without."""
    found = []
    for one in _records(models):
        values, ceilings = (np.asarray(one[name], np.float64) for name in (r, ceiling))
        known = _averaged(one) & np.isfinite(values) & (ceilings > 0)
        if known.any():
            shares = values[known] * np.abs(values[known]) / np.square(ceilings[known])
            found.append((float(ceilings[known].mean()), float(np.median(shares))))
    if not found:
        return None
    means = np.mean(found, axis=0)
    return float(means[0]), float(means[1])


def note_rois(rois: Iterable[tuple[str, tuple[str, ...]]]) -> str | None:
    """Say in which rows methods have models of different ROIs; None where nowhere.

    rois: the label of a row, and the ROIs that a method has models of in it.
    """
    found: dict[str, set[tuple[str, ...]]] = {}
    for label, own in rois:
        found.setdefault(label, set()).add(own)
    unlike = [label for label, sets in found.items() if len(sets) > 1]
    if not unlike:
        return None
    return (
        f"{', '.join(unlike)}: methods have models of different ROIs, and are not to be compared; "
        "export them with --trials and their ids, which writes models of all their ROIs"
    )
