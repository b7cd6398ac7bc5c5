"""Every score of a sweep in one table: read, filtered, averaged over seeds.

Everything but vertex and r is stored once per segment, and filters select segments.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.cli.errors import InputError
from orchestrator.scores.segments import PLACES, FileScores, Integers, read_scores_of, tabulate
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_score_columns
from trainables.results.strangers import describe_strangers
from trainables.spec.evaluation import WorkItem, with_rois_of
from trainables.spec.labels import Labels, labels_of
from trainables.storage.threads import map_reads

Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class ScoreTable:
    """Scores of many trials; a filter drops segments."""

    segments: pd.DataFrame
    """The selected segments: RECORDED, MEASURED, ``trained_on``, DERIVED and PLACES."""
    files: tuple[FileScores, ...]
    trials: Mapping[str, WorkItem]
    """Each trial and evaluation by its id, with all ROIs that its score files record."""
    strangers: tuple[Path, ...] = ()
    """Files with the scores of another trial or ROI than their path, which are left out."""

    def where(self, kept: "pd.Series[bool]") -> "ScoreTable":
        """Keep the segments for which ``kept`` holds."""
        return replace(self, segments=self.segments[kept])

    def keep(self, column: str, values: Collection[str]) -> "ScoreTable":
        """Keep the segments with one of these values of a column."""
        return self.where(self.segments[column].isin(list(values)))

    def present(self, column: str) -> list[str]:
        """List the distinct values of a column, sorted."""
        return sorted(self.segments[column].unique())

    @cached_property
    def labels(self) -> Labels:
        """The labels of all settings that were read, whatever is selected."""
        return labels_of(self.trials.values())

    @cached_property
    def over_seeds(self) -> pd.DataFrame:
        """The rows of :attr:`vertices`, r averaged over trials that differ only in their seed.

        The column n_seeds counts the averaged trials; a vertex without an r in some has the mean
        of the others. The other columns are those of the first of these trials.
        """
        keys = ["method", "roi_id", "protocol", "data", "trained_on"]
        groups = self.segments.groupby(keys, observed=True, dropna=False, sort=False).ngroup()
        if not self.segments.groupby(groups)["trial_id"].nunique().gt(1).any():
            return self.vertices
        rows = self.vertices.assign(place=np.repeat(groups.to_numpy(), self.segments["n"]))
        grouped = rows.groupby(["place", "vertex"], sort=False)
        means, counts = grouped["r"].transform("mean"), grouped["r"].transform("size")
        averaged = rows.assign(r=means, n_seeds=counts)[grouped.cumcount() == 0]
        return averaged.drop(columns="place").reset_index(drop=True)

    @cached_property
    def vertices(self) -> pd.DataFrame:
        """The rows of the selected segments, one per vertex: all columns but those of PLACES.

        n_seeds is 1: each row is of one trial.
        """
        n = self.segments["n"].to_numpy()
        columns = {
            name: _repeat(self.segments[name], n)
            for name in self.segments.columns
            if name not in PLACES
        }
        places = self.segments[list(PLACES)].to_numpy().tolist()
        slices = [(self.files[file], slice(first, first + n)) for file, first, n in places]
        vertex = [one.vertex[rows] for one, rows in slices]
        r = [one.r[rows] for one, rows in slices]
        measured = {
            "vertex": np.concatenate([np.empty(0, np.int32), *vertex]),
            "r": np.concatenate([np.empty(0), *r]),
            "n_seeds": np.ones(int(n.sum()), np.int32),
        }
        return pd.DataFrame({**columns, **measured}, copy=False)

    @cached_property
    def is_simulated(self) -> bool:
        """Whether any of the selected scores is of simulated responses."""
        return bool(self.segments["is_simulated"].any())

    def read(self, columns: Collection[str]) -> Iterator[pa.Table]:
        """Read further columns of the selected segments, one table per segment, in their order.

        Raises ValueError naming a file that has changed or gone since the table was read.
        """
        for _, part in self.segments.groupby("file", sort=False):
            yield from self._read_file(part, columns)

    def _read_file(self, segments: pd.DataFrame, columns: Collection[str]) -> list[pa.Table]:
        """Read columns of segments of one file, one table per segment."""
        path = self.files[int(segments["file"].iloc[0])].recorded.path
        read = read_score_columns(path, tuple(columns))
        if read is None:
            raise ValueError(f"{path}: has changed while it was read; run the command again")
        places = segments[["first", "n"]].to_numpy().tolist()
        return [read[1].slice(first, n) for first, n in places]

    def at_layers(self) -> pd.DataFrame:
        """Average r over each ROI's vertices at every layer, not only the chosen one.

        Returns one row per (trial, ROI, layer): columns trial_id, method, roi_id, layer, r; no row
        where a layer has no r.
        """
        keys = ["trial_id", "method", "roi_id"]  # each has one file
        rows: list[tuple[Any, ...]] = []
        for _, part in self.segments.groupby("file", sort=False):
            trial_id, method, roi_id = part[keys].iloc[0]
            read = self._read_file(part, ["r_by_layer"])
            matrices = [as_matrix(table["r_by_layer"]) for table in read]
            frame = pd.DataFrame(np.concatenate(matrices))
            # groupby sums with compensation, unlike frame.mean(): the order of rows changes nothing
            means = frame.groupby(np.zeros(len(frame), np.int8)).mean().iloc[0].dropna()
            places, values = means.index.astype(int).tolist(), means.tolist()
            encoding = self.trials[trial_id].encoding
            layers = encoding.layers if encoding else ()
            layer_names = [layers[place] for place in places]
            rows += [
                (trial_id, method, roi_id, layer, r)
                for layer, r in zip(layer_names, values, strict=True)
            ]
        found = pd.DataFrame(rows, columns=[*keys, "layer", "r"])
        found = found.astype({name: self.segments[name].dtype for name in keys})
        return found.sort_values(keys, kind="stable", ignore_index=True)


def _repeat(values: "pd.Series[Any]", n: Integers) -> Any:
    """Repeat each value of a column n times."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return pd.Categorical.from_codes(np.repeat(values.cat.codes, n), dtype=values.dtype)
    return np.repeat(values.to_numpy(), n)


def as_matrix(lists: pa.ChunkedArray) -> Numbers:
    """Convert a column of equally long lists to (n_rows, length), float64."""
    flat = pc.list_flatten(lists.combine_chunks()).to_numpy(zero_copy_only=False)
    matrix: Numbers = flat.astype(np.float64).reshape(len(lists), -1)
    return matrix


def read_score_table(runs: RunDirectory, trial_ids: Collection[str] | None = None) -> ScoreTable:
    """Read the score files of a sweep: of all its trials, or of those named.

    Raises InputError when there is no score to read, or naming damaged files.
    """
    if not runs.path.is_dir():
        raise InputError(f"{runs}: no such directory; give the directory of a sweep")
    paths = runs.score_files()
    if trial_ids is not None:
        paths = [path for path in paths if path.parent.name in trial_ids]
    read = map_reads(read_scores_of, paths)
    complaints = [one for one in read if isinstance(one, str)]
    if complaints:
        raise InputError(*complaints)
    parts = tuple(one for one in read if isinstance(one, FileScores))
    strangers = tuple(path for path, one in zip(paths, read, strict=True) if one is None)
    if not parts:
        left_out = describe_strangers((*runs.strangers(), *strangers))
        cure = f"run python -m orchestrator.sweep SPACE --data DATA --out {runs}"
        message = f"{runs}: holds no scores; {cure}"
        raise InputError(message, *([left_out] if left_out else []))
    return ScoreTable(
        tabulate(parts),
        parts,
        _merge(one.recorded.work_item for one in parts),
        strangers,
    )


def _merge(work_items: Iterable[WorkItem]) -> dict[str, WorkItem]:
    """Merge the trials that files record, by id: of each, files may list some of its ROIs."""
    merged: dict[str, WorkItem] = {}
    for one in work_items:
        merged[one.id] = with_rois_of(merged.get(one.id, one), one)
    return merged
