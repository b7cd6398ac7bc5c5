"""Tables of r on NSD-synthetic for the terminal, beside r on NSD's test images."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.table import Table

from orchestrator.cli.text import NONE, as_difference, as_percent, as_r, new_table
from orchestrator.evaluate.ood.model_scores import ALL_CLASSES
from orchestrator.evaluate.ood.summaries import OodSummary
from orchestrator.scores.display.interval_notes import describe_intervals
from orchestrator.scores.display.style import draw_line
from orchestrator.scores.rows import Row

CAPTION: Final = (
    "in: NSD's test images; out: NSD-synthetic, by the same readout, which was fitted to NSD's "
    "training images. r: mean over the vertices with an r of both. explained: median of "
    "r |r| / ceiling²: the two sets differ in their images and repeats, so compare these. ±: half "
    "of the 95 % interval of r"
)


def ood_tables(summaries: Sequence[OodSummary]) -> list[Table]:
    """Tabulate r in and out of distribution by ROIs and method, and r by class of images."""
    over_all = [one for one in summaries if one.image_class == ALL_CLASSES]
    by_class = [one for one in summaries if one.image_class != ALL_CLASSES]
    return [_whole_table(over_all), *([_class_table(by_class)] if by_class else [])]


def _whole_table(summaries: Sequence[OodSummary]) -> Table:
    intervals = describe_intervals([one.uncertainty for one in summaries])
    table = new_table("In and out of distribution", f"{CAPTION}; {intervals}")
    table.add_column("ROIs", no_wrap=True)
    table.add_column("method")
    heads = ("in: r", "ceiling", "explained", "out: r", "±", "ceiling", "explained")
    for head in (*heads, "out − in", "interval"):
        table.add_column(head, justify="right", no_wrap=True)
    last: Row | None = None
    for one in summaries:
        draw_line(table, last, one.row, apart=len({s.method for s in summaries}) > 1)
        last = one.row
        half = one.of_difference.half_width
        ends = (one.difference - half, one.difference + half)
        table.add_row(
            one.row.label,
            one.method,
            as_r(one.r_in),
            as_r(one.ceiling_in),
            as_percent(one.explained_in),
            as_r(one.r),
            as_r(one.uncertainty.half_width),
            as_r(one.ceiling),
            as_percent(one.explained),
            as_difference(one.difference),
            " ".join(map(as_difference, ends)),
        )
    return table


def _class_table(summaries: Sequence[OodSummary]) -> Table:
    """Tabulate r by class of images: a row per method and class, a column per row of ROIs."""
    labels = list(dict.fromkeys(one.row.label for one in summaries))
    table = new_table(
        "Out of distribution, by class of images",
        "r ± half of its 95 % interval. The responses to one class vary less than those to all, "
        "and their noise ceilings are not known: compare methods within a class, not classes",
    )
    table.add_column("method")
    table.add_column("class of images")
    table.add_column("images", justify="right")
    for label in labels:
        table.add_column(label, justify="right", no_wrap=True)
    last: str | None = None
    for method, name in dict.fromkeys((one.method, one.image_class) for one in _sorted(summaries)):
        if last not in (None, method):
            table.add_section()
        last = method
        own = {
            one.row.label: one
            for one in summaries
            if (one.method, one.image_class) == (method, name)
        }
        n_images = str(max(one.n_images for one in own.values()))
        table.add_row(method, name, n_images, *(_cell(own.get(label)) for label in labels))
    return table


def _sorted(summaries: Sequence[OodSummary]) -> Iterable[OodSummary]:
    """Put the classes of a method together; the order of methods and classes is kept."""
    methods = list(dict.fromkeys(one.method for one in summaries))
    return sorted(summaries, key=lambda one: methods.index(one.method))


def _cell(one: OodSummary | None) -> str:
    return NONE if one is None else f"{as_r(one.r)} ± {one.uncertainty.half_width:.3f}"
