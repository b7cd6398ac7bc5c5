"""Columns about a probed backbone in the tables of analyses."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.analyze.analysis import Inputs, Missing
from orchestrator.scores.statistics.transfers import model_label
from trainables.probes.probe import Probed, ProbeRecord
from trainables.spec import Encoding, Trial
from trainables.spec.labels import Labels, labels_of
from trainables.spec.rois import roi_group_of
from trainables.storage.atomic import read_parquet

BACKBONE_FIELDS: Final = (
    pa.field("backbone", pa.string(), nullable=False),
    pa.field("method", pa.string(), nullable=False),
    pa.field("dataset", pa.string()),
    pa.field("subject", pa.string()),
    pa.field("hemisphere", pa.string()),
    pa.field("roi", pa.string()),
    pa.field("group", pa.string()),
)
"""backbone: id of its training. method: label of its method and setting. subject: the subject of
the fine-tuning, ``1+2`` for a pool. The untuned backbone has no subject, hemisphere or ROI."""


def labels_among(records: Iterable[ProbeRecord]) -> Labels:
    """Make the labels of the settings of probed backbones; encodings are none of theirs."""
    return labels_of(_training(one.probed) for one in records)


def _training(probed: Probed) -> Trial:
    return replace(probed.model, encoding=Encoding())


def describe(probed: Probed, labels: Labels) -> dict[str, Any]:
    """Fill BACKBONE_FIELDS for a backbone. labels: of all probed backbones."""
    model = probed.model
    known = {"backbone": probed.id, "method": labels.of(_training(probed), model.rois[0])}
    place = dict.fromkeys(("dataset", "subject", "hemisphere", "roi", "group"))
    if not probed.is_finetuned:
        return {**known, **place}
    roi = model.rois[0]
    return {
        **known,
        "dataset": roi.dataset,
        "subject": model_label(model),
        "hemisphere": roi.hemisphere,
        "roi": roi.name,
        "group": roi_group_of(roi.name),
    }


def read_records(inputs: Inputs, kind: str, cure: str) -> list[ProbeRecord]:
    """Read the results of the probes of a kind; Missing where there are none.

    Of a backbone's results on the same inputs the latest version is used. Copies under other names
    are left out.
    """
    read = [ProbeRecord.read(path) for path in inputs.probe_files(kind)]
    found = [one for one in read if one.is_at_its_path]
    found.sort(key=lambda one: one.version)
    records = list({(one.probed.id, str(one.inputs)): one for one in found}.values())
    if not records:
        raise Missing(f"no backbone has been probed for {kind.replace('_', ' ')}", cure)
    return records


def read_columns(record: ProbeRecord, columns: Sequence[str], analysis: str) -> pa.Table:
    """Read columns of a probe's result; raise ValueError as :func:`check_columns` does."""
    check_columns(record, columns, analysis)
    return read_parquet(record.path, columns)


def check_columns(record: ProbeRecord, columns: Sequence[str], analysis: str) -> None:
    """Raise ValueError naming a result of an earlier version, which lacks columns.

    analysis: the one that makes the result.
    """
    if not set(columns) <= set(pq.read_schema(record.path).names):
        raise ValueError(
            f"{record.path}: expected the columns {', '.join(columns)}, found a result of version "
            f"{record.version}; remove it and run python -m orchestrator.analyze {analysis} --out "
            f"{record.path.parents[2]}"
        )


def by_task(records: list[ProbeRecord]) -> Iterator[tuple[tuple[str, str, str], list[ProbeRecord]]]:
    """Group probes of a task by (task, digest of its data, layer), in the order of these."""
    groups: dict[tuple[str, str, str], list[ProbeRecord]] = {}
    for record in records:
        key = (record.inputs["task"], record.inputs["data"], record.inputs["layer"])
        groups.setdefault(key, []).append(record)
    yield from sorted(groups.items(), key=lambda item: item[0])


def as_table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Make a table of rows, sorted by method and place."""
    frame = pd.DataFrame(rows, columns=schema.names)
    return pa.Table.from_pandas(frame, schema, preserve_index=False)
