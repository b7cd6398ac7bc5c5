"""Which ROIs each subject has, and of how many vertices.

Paper: presence and sizes of the ROIs of the eight subjects.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa

from orchestrator.analyze.analysis import Analysis, Inputs
from trainables.data.data_directory import manifest_file
from trainables.data.shards import Manifest
from trainables.spec import Roi
from trainables.spec.rois import ROI_ORDER, roi_group_of

SCHEMA = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("hemisphere", pa.string(), nullable=False),
        pa.field("roi", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("n_vertices", pa.int32(), nullable=False),
        pa.field("is_scored", pa.bool_(), nullable=False),
    ]
)
"""One row per ROI of a subject of which there are scores, or which lies in the ingested data of
such a subject. A subject's missing ROI has no row."""


def make(inputs: Inputs) -> pa.Table:
    """List the ROIs of the subjects that have scores, by their data or else by their scores."""
    segments = inputs.scores.segments
    scored = set(segments["roi_id"].astype(str))
    rois = {
        roi.id: roi for one in inputs.scores.trials.values() for roi in one.rois if roi.id in scored
    }
    for roi in _ingested(inputs, {roi.shard for roi in rois.values()}):
        rois[roi.id] = roi
    ordered = sorted(rois.values(), key=_order)
    rows = [_row(roi, is_scored=roi.id in scored) for roi in ordered]
    return pa.Table.from_pandas(pd.DataFrame(rows), SCHEMA, preserve_index=False)


def _ingested(inputs: Inputs, names: Iterable[str]) -> Iterator[Roi]:
    """List the ROIs in the ingested data of subjects, where these data are there."""
    shards = {shard.name: shard for shard in inputs.data.shards()}
    for name in sorted(set(names) & set(shards)):
        manifest = Manifest.read(shards[name])
        for side, sizes in manifest.rois.items():
            for roi_name, n in sizes.items():
                yield Roi(manifest.dataset, manifest.subject, side, roi_name, n, manifest.data)


def _order(roi: Roi) -> tuple[str, str, str, int, str]:
    place = ROI_ORDER.index(roi.name) if roi.name in ROI_ORDER else len(ROI_ORDER)
    return roi.dataset, roi.subject, roi.hemisphere, place, roi.name


def _row(roi: Roi, *, is_scored: bool) -> dict[str, object]:
    return {
        "dataset": roi.dataset,
        "subject": roi.subject,
        "hemisphere": roi.hemisphere,
        "roi": roi.name,
        "group": roi_group_of(roi.name),
        "n_vertices": roi.n_vertices,
        "is_scored": is_scored,
    }


def _sources(inputs: Inputs) -> Iterator[Path]:
    yield from inputs.score_files()
    yield from (manifest_file(shard) for shard in inputs.data.shards())


ANALYSIS = Analysis(
    name="rois",
    question="Which ROIs does each subject have, and of how many vertices?",
    schema=SCHEMA,
    make=make,
    sources=_sources,
)
