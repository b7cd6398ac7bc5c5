"""The report's page: facts, headline, and one section per analysis."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.analyze.analysis import Analysis, Inputs, Missing, read_missing
from orchestrator.analyze.catalogue import ANALYSES
from orchestrator.analyze.run import is_current
from orchestrator.cli.errors import InputError
from orchestrator.report.content_policy import content_policy
from orchestrator.report.headline import headline
from orchestrator.report.how_made import how_made
from orchestrator.report.not_available import not_available
from orchestrator.report.sections.section import Interactive, Section
from orchestrator.report.style import DEFAULT_MESH
from orchestrator.scores.display.style import SIMULATED
from trainables.results.outcome import Outcome, read_outcomes
from trainables.spec import Trial
from trainables.storage.atomic import read_parquet, write_text

PAGE: Final = Path(__file__).parent / "template"
TITLES: Final = {"rois": "ROIs", "ood": "Out of distribution"}
"""Of analyses that have no table yet, where the name is no title."""
OUTDATED: Final = (
    "Scores, probes or data have changed since this table was made: its numbers are of the earlier "
    "ones. The command below makes it again."
)


@dataclass(frozen=True)
class Part:
    """A section of the page, or the reason why it is missing."""

    name: str
    title: str
    command: str
    section: Section | None = None
    json: str = ""
    missing: Missing | None = None


def write_report(inputs: Inputs, page: Path, mesh: str = DEFAULT_MESH) -> Path:
    """Write the page atomically; raise InputError where there are no scores.

    mesh: nilearn's name of the fsaverage mesh of the cortical maps.
    """
    try:
        facts, how, top = list(_facts(inputs)), how_made(inputs), headline(inputs)
    except Missing as missing:
        raise InputError(str(missing)) from missing
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGE), autoescape=True, undefined=jinja2.StrictUndefined
    )
    parts = [_part(inputs, one, mesh) for one in ANALYSES]
    absent = [(part.title, part.missing) for part in parts if part.missing is not None]
    js = (PAGE / "report.js").read_text(encoding="utf-8")
    text = environment.get_template("report.html.j2").render(
        title=_title(inputs),
        simulated=SIMULATED if inputs.all_scores.is_simulated else "",
        facts=facts,
        how=how,
        headline=top,
        parts=[part for part in parts if part.section],
        not_available=not_available(inputs, absent),
        css=(PAGE / "report.css").read_text(encoding="utf-8"),
        js=js,
        policy=content_policy([js], (figure.page for figure in _interactive(parts))),
    )
    write_text(page, text)
    return page


def _title(inputs: Inputs) -> str:
    datasets = " and ".join(inputs.all_scores.present("dataset"))
    mark = f"{SIMULATED}: " if inputs.all_scores.is_simulated else ""
    of_protocol = f", protocol {inputs.protocol}" if inputs.protocol else ""
    return f"{mark}Sweep of {datasets}{of_protocol}"


def _interactive(parts: Sequence[Part]) -> Iterator[Interactive]:
    figures = (figure for part in parts if part.section for figure in part.section.figures)
    return (figure for figure in figures if isinstance(figure, Interactive))


def _part(inputs: Inputs, analysis: Analysis, mesh: str) -> Part:
    name = analysis.name
    command = f"python -m orchestrator.analyze {name} --out {inputs.runs}"
    title = TITLES.get(name, name.replace("_", " ").capitalize())
    path = inputs.result_file(name)
    if not path.is_file():
        return Part(name, title, command, missing=read_missing(inputs.runs, name))
    made = read_parquet(path)
    if set(analysis.schema.names) - set(made.column_names):
        was = Missing("its table is of another version of the program", f"run {command}")
        return Part(name, title, command, missing=was)
    table, which = _of_protocol(made, inputs.protocol)
    if not table.num_rows:
        return Part(name, title, command, missing=Missing(f"its table has no rows{which}", command))
    section = _section(name, table, mesh)
    if not is_current(analysis, inputs):
        section = replace(section, notes=(*section.notes, OUTDATED))
    file = f"simulated-{name}" if inputs.all_scores.is_simulated else name
    return Part(name, section.title, command, section, as_json(section, file))


def _section(name: str, table: pa.Table, mesh: str) -> Section:
    """Make the section of an analysis; only those that are made import what draws figures."""
    from orchestrator.report.sections.catalogue import SECTIONS
    from orchestrator.report.sections.cortex import load_mesh
    from orchestrator.report.sections.surface import section_on

    return section_on(table, load_mesh(mesh)) if name == "surface" else SECTIONS[name](table)


def _of_protocol(table: pa.Table, protocol: str | None) -> tuple[pa.Table, str]:
    """Keep the rows of a protocol, if one is wanted and the table has any; say which."""
    if protocol is None or "protocol" not in table.column_names:
        return table, ""
    return table.filter(pc.equal(table["protocol"], protocol)), f" of protocol {protocol}"


def as_json(section: Section, file: str) -> str:
    """Write a section's table as JSON in which no text can end the script element.

    file: name of the CSV file that the page offers, without its ending.
    """
    frame = section.table
    columns = [[_plain(value) for value in frame[name]] for name in frame.columns]
    content = {
        "name": file,
        "names": list(frame.columns),
        "columns": [asdict(column) for column in section.columns],
        "rows": list(zip(*columns, strict=True)),
    }
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _plain(value: Any) -> Any:
    """Convert a value of a table to JSON; missing values to null."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return None if str(value) in ("<NA>", "NaT") else str(value)


def _facts(inputs: Inputs) -> Iterator[tuple[str, str]]:
    """Describe what was run, as far as the files record it."""
    table = inputs.all_scores
    outcomes = list(read_outcomes(inputs.runs))
    yield "data", f"{', '.join(table.present('dataset'))}: {', '.join(table.present('subject'))}"
    yield "protocol" if inputs.protocol else "protocols", ", ".join(inputs.protocols)
    trials = [one for one in table.trials.values() if isinstance(one, Trial)]
    backbones = Counter(f"{one.backbone.architecture}, {one.backbone.weights}" for one in trials)
    yield "backbone", "; ".join(backbones)
    states = Counter(one.status for one in outcomes)
    yield "trials", ", ".join(f"{states[s]} {s}" for s in ("finished", "failed", "stopped"))
    yield "time", _times(outcomes)
    yield "written", date.today().isoformat()


def _times(outcomes: Sequence[Outcome]) -> str:
    hours: Counter[str] = Counter()
    for outcome in outcomes:
        device = outcome.device or "unknown"
        hours[device] += sum(outcome.seconds.values()) / 3600  # type: ignore[assignment]
    gpus = sum(value for device, value in hours.items() if device not in ("cpu", "unknown"))
    parts = ", ".join(f"{value:.2f} on {device}" for device, value in sorted(hours.items()))
    return f"{gpus:.2f} GPU-hours; worker-hours: {parts or 'none'}"


def size_in_megabytes(path: Path) -> float:
    """Measure a file, in MB."""
    return path.stat().st_size / 1e6
