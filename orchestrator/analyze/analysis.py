"""What an analysis is: a question, the files that it depends on, and one table."""

import json
import shlex
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import pyarrow as pa

from orchestrator.scores.filters import (
    keep_values,
    of_latest_data,
    started_in,
    without_whole,
)
from orchestrator.scores.score_table import ScoreTable, read_score_table
from trainables.data.data_directory import DataDirectory, manifest_file
from trainables.results.complete_scores import find_score_files
from trainables.results.run_directory import RunDirectory
from trainables.spec import PROTOCOLS, Protocol
from trainables.spec.fields import Text
from trainables.spec.records import read_record, record
from trainables.storage.atomic import read_parquet

NOT_MADE: Final = "not made yet"
"""The reason of an analysis that has not been asked for since its scores are there."""


class Missing(Exception):  # noqa: N818  (an outcome, not an error)
    """An input of an analysis is missing: the reason, and the command that makes it."""

    def __init__(self, reason: str, cure: str) -> None:
        super().__init__(f"{reason}; {cure}")
        self.reason = reason
        self.cure = cure


@dataclass(frozen=True)
class Inputs:
    """The files of a sweep; each table is read once, on first use."""

    runs: RunDirectory
    data: DataDirectory
    protocol: Protocol | None = None
    """The only protocol whose scores are used, by a report; None: all, as by analyses."""

    @cached_property
    def all_scores(self) -> ScoreTable:
        """Every score of every trial and evaluation; Missing without any.

        Those of whole hemispheres are left out where there are others. Raises InputError where
        there are none of the protocol.
        """
        return self._keep(self._read)

    @cached_property
    def _read(self) -> ScoreTable:
        files = list(self.score_files())
        if not files:
            raise Missing(f"{self.runs} holds no scores", self.sweep_command("SPACE"))
        return without_whole(read_score_table(self.runs))

    def _keep(self, table: ScoreTable) -> ScoreTable:
        if self.protocol is None:
            return table
        return keep_values(table, "protocol", "protocol", [self.protocol])

    @cached_property
    def scores(self) -> ScoreTable:
        """The same, of each trial on the data of an ROI that were ingested last."""
        return self._keep(self._latest[0])

    @property
    def data_notes(self) -> list[str]:
        """Say which scores are left out, because their subject was ingested again."""
        return self._latest[1]

    @cached_property
    def _latest(self) -> tuple[ScoreTable, list[str]]:
        return of_latest_data(self._read, started_in(self.runs))

    @cached_property
    def protocols(self) -> tuple[str, ...]:
        """Name the protocols of the scores, in the order of PROTOCOLS."""
        present = self.scores.present("protocol")
        return tuple(protocol for protocol in PROTOCOLS if protocol in present)

    @cached_property
    def main_dataset(self) -> str:
        """Name the data set of most trials."""
        return Counter(one.rois[0].dataset for one in self.scores.trials.values()).most_common(1)[
            0
        ][0]

    def of_protocol(self, protocol: str) -> ScoreTable:
        """Keep the scores of one protocol."""
        return self.scores.keep("protocol", [protocol])

    @cached_property
    def recorded_scores(self) -> tuple[Path, ...]:
        """The files with the scores of the trial and ROI that their paths name."""
        return tuple(find_score_files(self.runs)[0])

    def sweep_command(self, space: str, *, weights: bool = False) -> str:
        """Return the cure that a sweep of a search space is; weights: it needs ``--weights``."""
        data, out = (shlex.quote(str(one)) for one in (self.data, self.runs))
        needed = " --weights FILE" if weights else ""
        return f"run python -m orchestrator.sweep {space} --data {data} --out {out}{needed}"

    def score_files(self) -> Iterable[Path]:
        """List the files that hold scores."""
        return self.recorded_scores

    def score_and_prediction_files(self) -> Iterable[Path]:
        """List the files with scores, those of the same predictions, and the subjects' manifests.

        An interval depends on all of them.
        """
        for path in self.recorded_scores:
            yield path
            predictions = self.runs.prediction_file(path.parent.name, path.stem)
            if predictions.is_file():
                yield predictions
        shards = {roi.shard for one in self.all_scores.trials.values() for roi in one.rois}
        manifests = [manifest_file(self.data.shard(shard)) for shard in sorted(shards)]
        yield from (path for path in manifests if path.is_file())

    def probe_files(self, kind: str) -> list[Path]:
        """List the files of a kind of probe, one per backbone."""
        return self.runs.probe_files(kind)

    def result_file(self, name: str) -> Path:
        """Name the file of an analysis' table."""
        return self.runs.analysis_file(name)

    def result(self, name: str) -> pa.Table:
        """Read another analysis' table; Missing where it has not been made."""
        path = self.result_file(name)
        if not path.is_file():
            cure = f"run python -m orchestrator.analyze {name} --out {self.runs}"
            raise Missing(f"the table of {name} has not been made", cure)
        return read_parquet(path)


@dataclass(frozen=True)
class Analysis:
    """An analysis: its question, inputs and table."""

    name: str
    question: str
    """The question, in one line."""
    schema: pa.Schema
    make: Callable[[Inputs], pa.Table]
    """Makes the table; raises Missing where an input is missing."""
    sources: Callable[[Inputs], Iterable[Path]] = Inputs.score_files
    """The files that the table depends on: while none of them changes, it is not made again."""
    notes: Callable[[Inputs], Iterable[str]] = lambda _: ()
    """Says which sources the table leaves out, a line each."""
    probes: tuple[str, ...] = ()
    """Kinds of probes that it reads (trainables/probes)."""
    version: int = 1
    """Version, raised when the same files give another table."""
    on_request: bool = False
    """Whether its probes are made only if it is named, since they take long."""


@record
class MissingNote:
    """The reason why an analysis' table could not be made, as its file holds it."""

    reason: Text
    cure: Text


def read_missing(runs: RunDirectory, name: str) -> Missing:
    """Read the reason why an analysis' table is missing."""
    cure = f"run python -m orchestrator.analyze {name} --out {runs}"
    try:
        note = read_record(runs.missing_file(name), MissingNote, cure)
    except FileNotFoundError:
        return Missing(NOT_MADE, cure)
    return Missing(note.reason, note.cure)


def _as_json(missing: Missing) -> str:
    note = MissingNote(missing.reason, missing.cure)
    return json.dumps(asdict(note), indent=1) + "\n"
