"""Models of one subject on another: mean r, and the share of vertices better than untuned.

Paper: the 8×8 matrices of cross-subject transfer, by ROI, group and hemisphere; and models of NSD
subject 1 on the subjects of NOD.
"""

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from orchestrator.analyze.analysis import Analysis, Inputs, Missing
from orchestrator.analyze.backbone_columns import as_table
from orchestrator.scores.filters import evaluations_of
from orchestrator.scores.rows import rois_of
from orchestrator.scores.score_table import ScoreTable
from orchestrator.scores.statistics.hierarchical_interval import Uncertainty
from orchestrator.scores.statistics.model_differences import ModelDifferences
from orchestrator.scores.statistics.transfer_means import TransferMean, mean_transfer
from orchestrator.scores.statistics.transfers import Transfers, measure_transfers, transfers

MEAN: Final = "mean"
"""The level of rows over the pairs of a group."""
OTHERS: Final = "other subjects"
SCHEMA = pa.schema(
    [
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("level", pa.string(), nullable=False),
        pa.field("row", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("hemisphere", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("subject", pa.string()),
        pa.field("is_own", pa.bool_(), nullable=False),
        pa.field("r", pa.float64()),
        pa.field("r_untuned", pa.float64()),
        pa.field("gain", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("covers_subjects", pa.bool_()),
        pa.field("covers_seeds", pa.bool_()),
        pa.field("r_own", pa.float64()),
        pa.field("share_better", pa.float64()),
        pa.field("n_rois", pa.int32(), nullable=False),
        pa.field("n_without_untuned", pa.int32(), nullable=False),
    ]
)
"""level: roi or group; row: which. hemisphere: both, lh or rh. dataset, subject: of the target.
model: the subject of the fine-tuning. is_own: the same subject, so r is the trial's own.
r, r_untuned, gain (their difference), r_own (the target's own model) and share_better (than
untuned) are over the same n_rois ROIs of this pair and the same vertices, ROIs with equal weights.
n_without_untuned: ROIs that are left out for lack of untuned scores. level mean: means over the
pairs of a group whose subjects differ; model is OTHERS, subject is null, n_rois is the sum over
pairs. low, high, covers_subjects, covers_seeds: the 95 % interval of gain, as of ``improvement``;
of a pair, for this model and target."""


def make(inputs: Inputs) -> pa.Table:
    """Tabulate every evaluated method by model and target, on each ROI and group."""
    if not evaluations_of(inputs.scores):
        raise Missing(
            "no model has been scored on another subject",
            f"run python -m orchestrator.evaluate transfer --out {inputs.runs}",
        )
    rows = []
    for protocol in inputs.protocols:
        table = inputs.of_protocol(protocol)
        measured = measure_transfers(table, inputs.runs, inputs.data)
        for hemisphere in dict.fromkeys(("both", *table.present("hemisphere"))):
            rows += list(_of_side(table, measured, protocol, hemisphere))
    return as_table(rows, SCHEMA)


def _of_side(
    table: ScoreTable, measured: ModelDifferences, protocol: str, hemisphere: str
) -> Iterator[dict[str, Any]]:
    if hemisphere != "both":
        table = table.keep("hemisphere", [hemisphere])
    for dataset in table.present("dataset"):
        of_dataset = table.keep("dataset", [dataset])
        place = {"protocol": protocol, "hemisphere": hemisphere, "dataset": dataset}
        for found in transfers(of_dataset, measured):
            yield from ({**place, "level": "group", **row} for row in _entries(found))
            mean = mean_transfer(found)
            if mean is not None:
                yield {**place, "level": MEAN, **_over_pairs(mean, found)}
        for roi_name in dict.fromkeys(rois_of(of_dataset.segments)["roi"]):
            of_roi = of_dataset.keep("roi", [roi_name])
            for found in transfers(of_roi, measured):
                rows = _entries(found)
                yield from ({**place, "level": "roi", **row, "row": roi_name} for row in rows)


def _entries(found: Transfers) -> Iterator[dict[str, Any]]:
    for (model, target), entry in found.entries.items():
        yield {
            "method": found.method,
            "row": found.row.label,
            "model": model,
            "subject": target,
            "is_own": entry.is_own,
            "r": entry.mean,
            "r_untuned": entry.untuned,
            "gain": entry.gain,
            **_interval(entry.gain, entry.uncertainty),
            "r_own": entry.own,
            "share_better": entry.better,
            "n_rois": entry.n_rois,
            "n_without_untuned": entry.n_unpaired,
        }


def _over_pairs(mean: TransferMean, found: Transfers) -> dict[str, Any]:
    others = [one for one in found.entries.values() if not one.is_own and one.gain is not None]
    return {
        "method": mean.method,
        "row": mean.row.label,
        "model": OTHERS,
        "subject": None,
        "is_own": False,
        "r": mean.mean,
        "r_untuned": mean.untuned,
        "gain": mean.gain,
        **_interval(mean.gain, mean.uncertainty),
        "r_own": None,
        "share_better": mean.better,
        "n_rois": sum(one.n_rois for one in others),
        "n_without_untuned": sum(one.n_unpaired for one in others),
    }


def _interval(gain: float | None, known: Uncertainty | None) -> dict[str, float | bool | None]:
    if gain is None or known is None:
        return dict.fromkeys(("low", "high", "covers_subjects", "covers_seeds"))
    return {
        "low": gain - known.half_width,
        "high": gain + known.half_width,
        "covers_subjects": known.covers_subjects,
        "covers_seeds": known.covers_seeds,
    }


ANALYSIS = Analysis(
    name="transfer",
    question="How well do models of one subject predict another?",
    schema=SCHEMA,
    make=make,
    sources=Inputs.score_and_prediction_files,
    version=4,
)
