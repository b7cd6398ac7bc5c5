"""Query a sweep's scores: a table of them, methods compared, rows exported.

cortex-sweep scores                                     mean r by ROI group
cortex-sweep scores --by roi --compare contrastive untuned
cortex-sweep scores --by roi --compare contrastive untuned --stats
cortex-sweep scores --by setting                        one row per setting of a method
cortex-sweep scores --compare temperature=0.1 temperature=1
cortex-sweep scores --protocol nested,paper             two protocols and their gap
cortex-sweep scores --export scores.csv                 one row per ROI and method
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Group, Parameter

from orchestrator.cli.app import new_app, run_app
from orchestrator.cli.arguments import (
    File,
    Flag,
    NameList,
    RunsDirectory,
    ShardsDirectory,
    find_places,
)
from orchestrator.cli.errors import InputError
from orchestrator.cli.process import leave
from orchestrator.cli.selection import Subjects, parse_rois

if TYPE_CHECKING:
    from orchestrator.scores.run import ScoreQuery

app: Final = new_app("scores")
STATISTICS: Final = Group("Statistics, with --compare", sort_key=1)
EXPORT: Final = Group("Export", sort_key=2)
CHOICE: Final = Group("Selection of scores (default: all)", sort_key=3)


@Parameter(name="*")
@dataclass(frozen=True)
class TableOptions:
    """Which table is shown."""

    out: RunsDirectory | None = None
    by: Literal[
        "group", "roi", "roi-hemisphere", "subject", "subject-roi", "setting", "layer", "model"
    ] = "group"
    """What a row is. setting: a setting of a method, over all ROIs; layer: which layers the ROIs
    chose; model: evaluated models, by the subjects they were fine-tuned on and scored on."""
    compare: Annotated[list[str] | None, Parameter(metavar="A B", consume_multiple=True)] = None
    """Two methods or settings, such as `contrastive untuned` or `temperature=0.1 temperature=1`;
    a side may be both: `contrastive,temperature=0.1`. Without any: each setting against untuned."""
    protocol: Annotated[NameList, Parameter(show_default="nested")] = ("nested",)
    """nested, clean, paper or released; two, such as nested,paper, are shown side by side."""
    layer: Literal["roi", "best-per-vertex"] = "roi"
    """The layer of each r: the one that its ROI chose, or the best of each vertex, by the same
    choice scores, which use no test image under nested and clean."""


@Parameter(name="*", group=STATISTICS)
@dataclass(frozen=True)
class StatisticsOptions:
    """Which statistics are computed."""

    stats: Flag = False
    """Add a test over test images at every vertex, tests over subjects, and the share of the
    explainable variance."""
    data: Annotated[
        ShardsDirectory | None,
        Parameter(
            help="Directory of the ingested shards, for responses and noise ceilings: a local one, "
            "or s3://BUCKET/PREFIX."
        ),
    ] = None


@Parameter(name="*", group=EXPORT)
@dataclass(frozen=True)
class ExportOptions:
    """What is exported."""

    export: File | None = None
    """Write the chosen scores to a .parquet or .csv file."""
    rows: Literal["rois", "table", "vertices", "differences"] = "rois"
    """What a row of the file is. rois: an ROI and method; table: a row of the table of means, or of
    --compare, with its interval; vertices: a vertex of one, as in the
    score files; differences: a vertex tested by --stats."""


@Parameter(name="*", group=CHOICE)
@dataclass(frozen=True)
class ChoiceOptions:
    """Which scores are used."""

    subjects: Subjects | None = None
    """Numbers and ranges such as 1,5-8."""
    hemispheres: NameList | None = None
    """lh, rh or lh,rh; both: data that does not divide hemispheres."""
    rois: Annotated[str | None, Parameter(metavar="LIST")] = None
    """Groups early, higher, streams, and ROIs such as V1v,EBA."""
    trial: Annotated[tuple[str, ...], Parameter(metavar="ID", show_default=False)] = ()
    """A trial's id, its beginning, or the 8 hex digits of a setting; may be repeated. Methods of
    which no trial is named keep all theirs."""
    where: Annotated[tuple[str, ...], Parameter(metavar="NAME=VALUE", show_default=False)] = ()
    """A value that settings must have, such as temperature=0.1; may be repeated. Methods without
    such a value keep all their trials."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 for bad input."""
    return run_app(app, arguments)


@app.default
def scores(
    *,
    table: TableOptions = TableOptions(),
    statistics: StatisticsOptions = StatisticsOptions(),
    export: ExportOptions = ExportOptions(),
    choice: ChoiceOptions = ChoiceOptions(),
) -> None:
    """Show the scores of a sweep: Pearson r between predicted and measured responses.

    The images are held out, and r is averaged over the vertices of an ROI, the ROIs of a subject,
    then subjects. `--compare` compares two methods on the same vertices, with an interval of the
    difference; `--stats` adds corrected tests over images and over subjects.
    """
    _check_compare(table, statistics, export)
    _check_protocol(table)
    _check_layer(table)
    _check_rows(table, export)

    from orchestrator.scores.run import run_query

    run_query(_query(table, statistics, export, choice))


def _check_compare(
    table: TableOptions, statistics: StatisticsOptions, export: ExportOptions
) -> None:
    """Raise InputError for options that contradict --compare."""
    compare = table.compare
    if compare is not None and len(compare) not in (0, 2):
        raise InputError(
            f"--compare {' '.join(compare)}: expected two methods or settings, or none"
        )
    if compare and compare[0] == compare[1]:
        raise InputError(f"--compare {' '.join(compare)}: expected two different ones")
    if compare is not None and table.by in ("layer", "model"):
        what = "each method's layers" if table.by == "layer" else "each model beside untuned"
        raise InputError(f"--by {table.by} shows {what}; omit --compare")
    if statistics.stats and compare is None:
        raise InputError("--stats compares methods; give --compare A B, or --compare alone")
    if export.rows == "differences" and not (statistics.stats and export.export):
        raise InputError("--rows differences: needs --compare, --stats and --export FILE")


def _check_rows(table: TableOptions, export: ExportOptions) -> None:
    """Raise InputError for a table that has no rows to export."""
    if export.rows != "table":
        return
    if export.export is None:
        raise InputError("--rows table: needs --export FILE")
    is_other = table.by in ("layer", "model") or (table.by == "setting" and table.compare is None)
    if is_other or len(table.protocol) > 1:
        shown = f"--by {table.by}" if is_other else f"--protocol {','.join(table.protocol)}"
        raise InputError(
            f"--rows table with {shown}: expected a table of means or of --compare; use --rows rois"
        )


def _check_layer(table: TableOptions) -> None:
    """Raise InputError for tables of the layers of whole ROIs."""
    if table.layer != "roi" and table.by in ("layer", "model"):
        raise InputError(
            f"--layer {table.layer} with --by {table.by}: expected a table of r, not of the layers "
            "or models of ROIs; omit one of the two"
        )


def _check_protocol(table: TableOptions) -> None:
    """Raise InputError for protocols that cannot be shown together."""
    protocols, given = table.protocol, ",".join(table.protocol)
    if len(protocols) > 2 or len(set(protocols)) < len(protocols):
        raise InputError(f"--protocol {given}: expected one, or two different ones")
    if len(protocols) == 2 and (
        table.compare is not None or table.by in ("setting", "layer", "model")
    ):
        raise InputError(
            f"--protocol {given}: two protocols are shown side by side, without "
            "--compare, --by setting, layer or model; give one"
        )


def _query(
    table: TableOptions,
    statistics: StatisticsOptions,
    export: ExportOptions,
    choice: ChoiceOptions,
) -> "ScoreQuery":
    from orchestrator.scores.run import ScoreQuery

    places = find_places(table.out, statistics.data)
    return ScoreQuery(
        runs=places.runs,
        data=places.data,
        by=table.by,
        compare=None if table.compare is None else tuple(table.compare),
        protocols=table.protocol,
        layer=table.layer,
        stats=statistics.stats,
        trials=choice.trial,
        where=choice.where,
        subjects=choice.subjects,
        hemispheres=choice.hemispheres,
        rois=None if choice.rois is None else parse_rois(choice.rois),
        export=export.export,
        rows=export.rows,
    )


if __name__ == "__main__":
    leave(main())
