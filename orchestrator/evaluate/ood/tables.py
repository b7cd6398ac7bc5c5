"""Tables of r on NSD-synthetic for the terminal, beside r on NSD's test images."""

from collections.abc import Sequence
from typing import Final

from rich.table import Table

from orchestrator.cli.text import NONE, as_difference, as_percent, as_r, new_table
from orchestrator.scores.display.interval_notes import describe_intervals
from orchestrator.scores.display.style import draw_line
from orchestrator.scores.ood.score_files import ALL_CLASSES
from orchestrator.scores.ood.summaries import OodSummary, Refitted
from orchestrator.scores.rows import Row
from orchestrator.scores.statistics.hierarchical_interval import Uncertainty

CAPTION: Final = (
    "in: NSD's test images; out: NSD-synthetic, by the same readout, which was fitted to NSD's "
    "training images; refitted: by one that is fitted to the other images of NSD-synthetic, in "
    "folds that do not divide its groups of like images. r: mean over the vertices with an r of in "
    "and out. explained: median of r |r| / ceiling²: the two sets differ in their images and "
    "repeats, so compare these. ±: half of the 95 % interval"
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
    table.add_column("method", no_wrap=True)
    heads = ("in: r", "ceiling", "explained", "out: r", "ceiling", "explained", "out − in")
    for head in (*heads, "refitted: r", "explained"):
        table.add_column(head, justify="right", no_wrap=True)
    last: Row | None = None
    for one in summaries:
        draw_line(table, last, one.row, apart=len({s.method for s in summaries}) > 1)
        last = one.row
        table.add_row(
            one.row.label,
            one.method,
            as_r(one.r_in),
            as_r(one.ceiling_in),
            as_percent(one.explained_in),
            _with_half(as_r(one.r), one.uncertainty),
            as_r(one.ceiling),
            as_percent(one.explained),
            _with_half(as_difference(one.difference), one.of_difference),
            *_refitted(one.refitted),
        )
    return table


def _class_table(summaries: Sequence[OodSummary]) -> Table:
    """Tabulate r by class of images: a row per row of ROIs, method and class."""
    table = new_table(
        "Out of distribution, by class of images",
        "ceiling: of the class, of 10 images or more. The responses to one class vary less than "
        "those to all: compare methods within a class, and classes by their explained shares",
    )
    for head in ("ROIs", "method", "class of images"):
        table.add_column(head, no_wrap=True)
    for head in ("images", "out: r", "ceiling", "explained", "refitted: r", "explained"):
        table.add_column(head, justify="right", no_wrap=True)
    last: tuple[str, str] | None = None
    for one in summaries:
        key = (one.row.label, one.method)
        if last not in (None, key):
            table.add_section()
        last = key
        table.add_row(
            *key,
            one.image_class,
            str(one.n_images),
            _with_half(as_r(one.r), one.uncertainty),
            as_r(one.ceiling),
            as_percent(one.explained),
            *_refitted(one.refitted),
        )
    return table


def _refitted(found: Refitted | None) -> tuple[str, str]:
    if found is None:
        return NONE, NONE
    return _with_half(as_r(found.r), found.uncertainty), as_percent(found.explained)


def _with_half(number: str, known: Uncertainty) -> str:
    return f"{number} ± {known.half_width:.3f}"
