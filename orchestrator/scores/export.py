"""Export tables as Parquet or CSV: the score rows, vertex by vertex."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from orchestrator.cli.errors import InputError
from orchestrator.scores.score_table import ScoreTable
from orchestrator.scores.segments import DERIVED
from orchestrator.scores.vertex_layers import BEST_PER_VERTEX, with_best_layers
from trainables.results.score_files import SCORE_SCHEMA
from trainables.storage.atomic import atomic_write, write_parquet

_FORMULA: Final = r"^[=+\-@\t\r]"
"""How a text begins that spreadsheets take for a formula."""


def check_export(path: Path) -> None:
    """Raise InputError when rows can't be exported to this path."""
    if path.suffix not in (".parquet", ".csv"):
        raise InputError(f"--export {path}: expected a name that ends in .parquet or .csv")
    if not path.parent.is_dir():
        raise InputError(f"--export {path}: {path.parent} is not a directory; create it first")


def export_vertices(table: ScoreTable, path: Path) -> int:
    """Write the selected score rows, one per vertex; return their number.

    Raises InputError as :func:`check_export` does.
    """
    names, in_schema = ("trial_id", *DERIVED), set(SCORE_SCHEMA.names)
    derived = table.segments[[*names, "layer"]].astype(object).to_numpy().tolist()
    parts = []
    for rows, (*values, layer) in zip(table.read(SCORE_SCHEMA.names), derived, strict=True):
        known = dict(zip(names, values, strict=True))
        encoding = table.trials[known["trial_id"]].encoding
        if layer == BEST_PER_VERTEX and encoding is not None:
            rows = with_best_layers(rows, encoding.layers)
        of_trial = dict.fromkeys(table.labels.names) | table.labels.values(
            table.trials[known["trial_id"]]
        )
        added = {name: v for name, v in (known | of_trial).items() if name not in in_schema}
        parts.append(_with_columns(rows, added))
    return write_rows(pa.concat_tables(parts).unify_dictionaries(), path)


def _with_columns(rows: pa.Table, constants: Mapping[str, Any]) -> pa.Table:
    for name, value in constants.items():
        known = None if pd.isna(value) else value
        is_flag = isinstance(value, bool)
        constant = pa.array([known] * len(rows), pa.bool_() if is_flag else pa.string())
        rows = rows.append_column(name, constant if is_flag else constant.dictionary_encode())
    return rows.replace_schema_metadata(None)


def write_rows(rows: pa.Table, path: Path) -> int:
    """Write a table to a .parquet or .csv file atomically; return its number of rows.

    In CSV a list is one text with ``;`` between its items, and a text that a spreadsheet would take
    for a formula begins with an apostrophe. Raises InputError as
    :func:`check_export` does.
    """
    check_export(path)
    for number, field in enumerate(rows.schema):
        if pa.types.is_dictionary(field.type):
            rows = rows.set_column(number, field.name, rows[field.name].cast(pa.string()))
    if path.suffix == ".parquet":
        write_parquet(path, rows)
    else:
        with atomic_write(path) as beside:
            pyarrow.csv.write_csv(_flat(rows), beside)
    return int(rows.num_rows)


def _flat(rows: pa.Table) -> pa.Table:
    for number, field in enumerate(rows.schema):
        if pa.types.is_list(field.type):
            joined = pc.binary_join(rows[field.name].cast(pa.list_(pa.string())), ";")
            rows = rows.set_column(number, field.name, joined)
    for number, field in enumerate(rows.schema):
        if pa.types.is_string(field.type):
            safe = pc.replace_substring_regex(rows[field.name], _FORMULA, r"'\0")
            rows = rows.set_column(number, field.name, safe)
    return rows
