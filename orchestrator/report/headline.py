"""The headline of a report: each method by ROI group, with its difference from untuned."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.questions.improvement import ANALYSIS as IMPROVEMENT
from orchestrator.analyze.run import is_current
from orchestrator.cli.text import NONE, as_difference, as_mean, as_percent
from orchestrator.report.intervals import describe_rows
from orchestrator.scores.alpha_notes import alpha_notes
from orchestrator.scores.display.score_tables import OPTIMISTIC
from orchestrator.scores.filters import one_model_per_roi
from orchestrator.scores.overlap_notes import overlap_notes
from orchestrator.scores.statistics.summaries import summarise
from trainables.spec.labels import method_of

COLUMNS = (
    "protocol",
    "group",
    "method",
    "mean r",
    "difference",
    "95 % interval",
    "vertices better",
    "vertices",
    "ROIs",
    "subjects",
)
CAPTION = (
    "Mean Pearson r over the vertices of an ROI, the ROIs of a subject, then subjects. "
    "±: standard deviation over seeds. Differences are from untuned, of the same vertices. "
)
SUMMED = "Vertices are summed over ROIs: one that lies in several ROIs counts in each."


@dataclass(frozen=True)
class Headline:
    """A small table as text, with its caption and notes."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    notes: tuple[str, ...]


def headline(inputs: Inputs) -> Headline:
    """Summarise every method on every ROI group under each protocol."""
    rows: list[tuple[str, ...]] = []
    notes = [SUMMED, *inputs.data_notes]
    against = _differences(inputs)
    for protocol in inputs.protocols:
        kept, model_notes = one_model_per_roi(inputs.of_protocol(protocol))
        for one in summarise(kept.over_seeds, "group", kept.vertices):
            found = against.get((protocol, one.method, one.row.label))
            rows.append(
                (
                    protocol,
                    one.row.label,
                    one.method,
                    as_mean(one.mean, one.seed_sd),
                    as_difference(found["difference"]) if found else NONE,
                    _interval(found),
                    as_percent(found["share_better"]) if found else NONE,
                    f"{one.n_vertices:,}",
                    str(one.n_rois),
                    str(one.n_subjects),
                )
            )
        notes += _rois_that_differ(rows, protocol, against)
        notes += [*model_notes, *overlap_notes(kept), OPTIMISTIC.get(protocol, "")]
        notes += alpha_notes(kept)
    caption = f"{CAPTION}{describe_rows(against.values())}"
    return Headline(COLUMNS, tuple(rows), caption, tuple(dict.fromkeys(filter(None, notes))))


def _interval(found: dict[str, Any] | None) -> str:
    if found is None or found["low"] is None:
        return NONE
    return f"{as_difference(found['low'])} to {as_difference(found['high'])}"


def _rois_that_differ(
    rows: Sequence[tuple[str, ...]],
    protocol: str,
    against: Mapping[tuple[str, str, str], Mapping[str, Any]],
) -> Iterator[str]:
    """Note where methods of a group have other ROIs, so that rows must not be subtracted."""
    place = {name: COLUMNS.index(name) for name in ("protocol", "group", "method", "ROIs")}
    n_rois: dict[str, dict[str, int]] = {}
    for row in rows:
        if row[place["protocol"]] == protocol:
            of_group = n_rois.setdefault(row[place["group"]], {})
            of_group[row[place["method"]]] = int(row[place["ROIs"]])
    for group, counts in n_rois.items():
        if len(set(counts.values())) > 1:
            yield (
                f"{group}, protocol {protocol}: methods have different ROIs, so that their mean r "
                "can't be compared by row; the difference is over the ROIs that a method and "
                "untuned both have"
            )
        for method, n in counts.items():
            found = against.get((protocol, method, group))
            if found and found["n_rois"] != n:
                yield (
                    f"{method}, {group}, protocol {protocol}: the difference is over "
                    f"{found['n_rois']} of its {n} ROIs, those that untuned has too"
                )


def _differences(inputs: Inputs) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Read the groups' differences from untuned, or compute them: by protocol, method and row."""
    is_made = is_current(IMPROVEMENT, inputs)
    table = inputs.result(IMPROVEMENT.name) if is_made else IMPROVEMENT.make(inputs)
    return {
        (row["protocol"], row["method"], row["row"]): row
        for row in table.to_pylist()
        if (row["level"], row["hemisphere"]) == ("group", "both")
        and method_of(row["reference"]) == "untuned"
    }
