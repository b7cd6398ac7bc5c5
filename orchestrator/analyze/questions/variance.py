"""What fine-tuned features explain that untuned ones do not, all layers of both taken together.

The probe ``variance`` has r and R² of each vertex, and what each test image adds to their means,
for regressions on all layers of the untuned backbone, of the fine-tuned one, and of both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestrator.analyze.analysis import Analysis, Inputs, Missing
from orchestrator.analyze.backbone_columns import describe, labels_among, read_records
from orchestrator.scores.rows import ROI_COLUMNS, method_order, roi_weights, rows_by
from orchestrator.scores.statistics.held_out_responses import ImageNumbers
from orchestrator.scores.statistics.hierarchical_interval import mean_uncertainty
from orchestrator.scores.statistics.roi_differences import (
    Images,
    RoiDifference,
    TrialScore,
    subtract,
)
from trainables.spec import Roi
from trainables.spec.rois import roi_group_of

KIND: Final = "variance"
CURE: Final = (
    "run python -m orchestrator.analyze variance --data DATA --out RUNS, which fits several "
    "regressions per ROI and therefore runs only when it is named"
)
MEANS: Final = (
    *("r_untuned", "r_tuned", "r_untuned_banded", "r_tuned_banded"),
    *("r2_untuned", "r2_tuned", "r2_joint"),
)
DIFFERENCES: Final[Mapping[str, Mapping[str, int]]] = {
    "gain": {"r_tuned": 1, "r_untuned": -1},
    "banded_gain": {"r_tuned_banded": 1, "r_untuned_banded": -1},
    "unique_tuned": {"r2_joint": 1, "r2_untuned": -1},
    "unique_untuned": {"r2_joint": 1, "r2_tuned": -1},
    "shared": {"r2_untuned": 1, "r2_tuned": 1, "r2_joint": -1},
}
SCHEMA = pa.schema(
    [
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("row", pa.string(), nullable=False),
        *(pa.field(name, pa.float64(), nullable=False) for name in MEANS),
        *(
            pa.field(f"{name}{suffix}", pa.float64(), nullable=False)
            for name in DIFFERENCES
            for suffix in ("", "_low", "_high")
        ),
        pa.field("n_vertices", pa.int32(), nullable=False),
        pa.field("n_rois", pa.int32(), nullable=False),
        pa.field("n_subjects", pa.int32(), nullable=False),
        pa.field("n_seeds", pa.int32(), nullable=False),
        pa.field("covers_subjects", pa.bool_(), nullable=False),
        pa.field("covers_seeds", pa.bool_()),
    ]
)
"""One row per setting and group of ROIs, averaged over vertices, seeds, ROIs and subjects. r, r2:
of all layers concatenated; banded: with a penalty per layer; joint: of both backbones, with a
penalty each. gain, banded_gain: r of tuned minus untuned. unique_tuned: r2_joint − r2_untuned;
unique_untuned: r2_joint − r2_tuned; shared: r2_untuned + r2_tuned − r2_joint; they may be below 0.
_low, _high: 95 % interval over subjects, seeds and test images. n_seeds: the fewest of an ROI.
protocol: ``clean`` where the trials hold training images back for it, else ``nested``."""


@dataclass(frozen=True)
class Partition:
    """The scores of one model on one ROI."""

    method: str
    protocol: str
    roi: Roi
    seed: str
    is_pooled: bool
    scored: Mapping[str, Any]
    """The row of the probe."""

    def mean(self, name: str) -> float:
        """Average a score over the vertices that every model has scores of."""
        values = np.array(self.scored[name])[self.defined]
        return float(values.mean())

    @property
    def defined(self) -> Any:
        """The vertices that every model has scores of: (n_vertices,) bool."""
        names = [name for name in self.scored if f"{name}_effects" in self.scored]
        return np.isfinite([self.scored[name] for name in names]).all(axis=0)

    def difference(self, terms: Mapping[str, int], images: Any) -> TrialScore:
        """Add up signed scores, with the effects of images. images: their numbers."""
        effect = sum(sign * np.array(self.scored[f"{n}_effects"]) for n, sign in terms.items())
        value = sum(sign * self.mean(name) for name, sign in terms.items())
        return TrialScore(self.seed, value, Images.of_rows(images, np.asarray(effect)))


def make(inputs: Inputs) -> pa.Table:
    """Average the partitions of every setting by group of ROIs, with intervals."""
    partitions = _read(inputs)
    keys = {(one.protocol, one.method) for one in partitions}
    rows = [
        {"protocol": protocol, "method": method, **row}
        for protocol in sorted({protocol for protocol, _ in keys})
        for method in method_order(name for one, name in keys if one == protocol)
        for row in _rows([p for p in partitions if (p.protocol, p.method) == (protocol, method)])
    ]
    if not rows:
        raise Missing("no vertex has scores", CURE)
    return pa.Table.from_pandas(pd.DataFrame(rows, columns=SCHEMA.names), SCHEMA)


def _read(inputs: Inputs) -> list[Partition]:
    """Read the probes' rows, without ROIs in which no vertex has scores."""
    records = read_records(inputs, KIND, CURE)
    labels = labels_among(records)
    found = []
    for record in records:
        model = record.probed.model
        method = str(describe(record.probed, labels)["method"])
        rois = {roi.id: roi for roi in model.rois}
        for row in record.rows().to_pylist():
            roi, pooled = rois[row["roi_id"]], len(model.rois) > 1
            protocol = str(record.numbers["protocol"])
            one = Partition(method, protocol, roi, str(model.seed), pooled, row)
            if one.defined.any():
                found.append(one)
    return found


def _rows(partitions: list[Partition]) -> Iterator[dict[str, Any]]:
    """Average a setting's partitions by group of ROIs."""
    by_roi: dict[str, list[Partition]] = {}
    for one in partitions:
        by_roi.setdefault(one.roi.id, []).append(one)
    frame = _frame(by_roi)
    differences = {name: _differences(by_roi, terms) for name, terms in DIFFERENCES.items()}
    for row in rows_by(frame, "group"):
        of_row = frame.loc[list(row.rois)]
        weights = roi_weights(of_row)
        values: dict[str, Any] = {"row": row.label, "n_rois": len(of_row)}
        values |= {name: float((of_row[name] * weights).sum()) for name in MEANS}
        for name, found in differences.items():
            of_rois = [found[roi] for roi in row.rois]
            known = mean_uncertainty(of_rois, weights.tolist())
            pairs = zip(of_rois, weights, strict=True)
            mean = sum(float(weight) * one.difference for one, weight in pairs)
            half = known.half_width
            values |= {name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half}
            values |= {"covers_subjects": known.covers_subjects, "covers_seeds": known.covers_seeds}
        subjects = of_row[["dataset", "subject"]].drop_duplicates()
        yield values | {
            "n_vertices": int(of_row["n"].sum()),
            "n_subjects": len(subjects),
            "n_seeds": int(of_row["seeds"].min()),
        }


def _frame(by_roi: Mapping[str, list[Partition]]) -> pd.DataFrame:
    """Average each ROI's scores over seeds: index ROI; ROI_COLUMNS, MEANS, n and seeds."""
    rows = []
    for several in by_roi.values():
        roi = several[0].roi
        place = (roi.dataset, roi.subject, roi.hemisphere, roi.name, roi_group_of(roi.name))
        means = [float(np.mean([one.mean(name) for one in several])) for name in MEANS]
        n = min(int(one.defined.sum()) for one in several)
        rows.append((*place, *means, n, len(several)))
    names = [*ROI_COLUMNS, *MEANS, "n", "seeds"]
    return pd.DataFrame(rows, index=list(by_roi), columns=names)


def _differences(
    by_roi: Mapping[str, list[Partition]], terms: Mapping[str, int]
) -> dict[str, RoiDifference]:
    """Add up signed scores in each ROI, as a difference from 0."""
    numbers = ImageNumbers()
    found = {}
    for name, several in by_roi.items():
        roi = several[0].roi
        images = [numbers.of(roi.dataset, one.scored["stimulus"]) for one in several]
        scores = [one.difference(terms, n) for one, n in zip(several, images, strict=True)]
        zero = TrialScore(None, 0.0, Images.of_rows(images[0], np.zeros(len(images[0]))))
        subject, pooled = (roi.dataset, roi.subject), several[0].is_pooled
        found[name] = subtract(subject, scores, [zero], shares_training=pooled)
    return found


ANALYSIS = Analysis(
    name="variance",
    question="What do fine-tuned features explain beside untuned ones, with all layers of both?",
    schema=SCHEMA,
    make=make,
    sources=lambda inputs: inputs.probe_files(KIND),
    probes=(KIND,),
    on_request=True,
)
