"""Tables of statistics for the terminal: over images, over subjects, ceilings, two protocols."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from rich.table import Table

from orchestrator.cli.text import NONE, as_difference, as_p, as_percent, as_points, as_r, new_table
from orchestrator.scores.display.interval_notes import describe_intervals
from orchestrator.scores.display.style import SettingColumns, draw_line
from orchestrator.scores.rows import By, Row
from orchestrator.scores.statistics.hemispheres import HemisphereContrast
from orchestrator.scores.statistics.hierarchical_interval import LEVEL
from orchestrator.scores.statistics.image_tests import FALSE_DISCOVERIES, ImageComparison
from orchestrator.scores.statistics.noise_ceilings import Explained
from orchestrator.scores.statistics.protocol_gap import Gap
from orchestrator.scores.statistics.share_differences import ShareDifference
from orchestrator.scores.statistics.subject_tests import SubjectBootstrap, SubjectTest

SUBJECT_NOTE: Final = (
    "–: too few subjects; an interval needs 3, a test 2. With n subjects the smallest p of "
    "the sign-flip test is 2/2ⁿ: below 0.05 from 6 subjects on"
)


class _OfRow(Protocol):
    @property
    def row(self) -> Row: ...


Line = TypeVar("Line", bound=_OfRow)


def image_table(comparisons: Sequence[ImageComparison], by: By, n_missing: int) -> Table:
    """Tabulate which vertices differ between two methods over test images, row by row."""
    q = f"q ≤ {FALSE_DISCOVERIES:.0%}"
    table = new_table(
        f"Over test images: {comparisons[0].a} against {comparisons[0].b}, protocol nested",
        f"better, worse: share of vertices that differ at {q}: p of each vertex "
        "by a t test over its images (jackknife), two-sided, corrected (Benjamini-Hochberg) over "
        "all vertices of a subject; streams, atlases and whole hemispheres separately"
        f"{_left_out(n_missing)}",
    )
    heads = ("diff.", "better", "worse", "vertices")

    def cells(one: ImageComparison) -> tuple[str, ...]:
        return (
            one.a,
            as_difference(one.difference),
            as_percent(one.share_better),
            as_percent(one.share_worse),
            f"{one.n_vertices:,}",
        )

    return _fill(table, by, heads, comparisons, cells, is_named=True)


def subject_table(
    tests: Sequence[SubjectTest], by: By, protocol: str, bootstrap: SubjectBootstrap
) -> Table:
    """Tabulate the comparison of two methods over subjects, row by row."""
    table = new_table(
        f"Over subjects: {tests[0].a} against {tests[0].b}, protocol {protocol}",
        f"interval: of better, {bootstrap.level:.0%}, {bootstrap.n_draws:,} bootstrap draws of the "
        "subjects. t: paired t test over subjects; flip: sign-flip test; two-sided. q: p corrected "
        "(Benjamini-Hochberg) over the rows that are not totals; streams, atlases and whole "
        f"hemispheres separately. {SUBJECT_NOTE}",
    )
    share = f"{bootstrap.level:.0%} interval"
    heads = ("diff.", "better", share, "subj.", "t p", "t q", "flip p", "flip q")

    def cells(one: SubjectTest) -> tuple[str, ...]:
        interval = one.share_interval
        return (
            one.a,
            as_difference(one.difference),
            as_percent(one.share_improved),
            NONE if interval is None else f"{interval[0]:.1%} {interval[1]:.1%}",
            str(one.n_subjects),
            *(as_p(p) for p in (one.t_p, one.t_q, one.flip_p, one.flip_q)),
        )

    return _fill(table, by, heads, tests, cells, is_named=True)


def hemisphere_table(contrasts: Sequence[HemisphereContrast], against: str) -> Table:
    """Tabulate how the difference of two methods differs between hemispheres, row by row."""
    table = new_table(
        f"Hemispheres: {contrasts[0].method} against {against}",
        "lh, rh: difference in mean r over subjects, of the ROIs that a subject has in both "
        "hemispheres; lh − rh: their contrast. t: paired t test over subjects; flip: sign-flip "
        f"test; two-sided. q: p corrected (Benjamini-Hochberg) over the ROIs; "
        f"streams, atlases and whole hemispheres separately. {SUBJECT_NOTE}",
    )
    heads = ("lh", "rh", "lh − rh", "subj.", "t p", "t q", "flip p", "flip q")

    def cells(one: HemisphereContrast) -> tuple[str, ...]:
        return (
            one.method,
            *(as_difference(number) for number in (one.left, one.right, one.contrast)),
            str(one.n_subjects),
            *(as_p(p) for p in (one.t_p, one.t_q, one.flip_p, one.flip_q)),
        )

    return _fill(table, "roi", heads, contrasts, cells, is_named=True)


def explained_table(explained: Sequence[Explained], by: By, protocol: str) -> Table:
    """Tabulate each method's share of the explainable variance, row by row."""
    table = new_table(
        f"Share of the explainable variance, protocol {protocol}",
        "explained: r² / ceiling² (a negative r counts below 0), median over an ROI's vertices, "
        "mean over ROIs and subjects; ceiling: mean of the highest r a perfect model could reach. "
        "above 1: vertices whose share exceeds 1, by chance or a ceiling too low; none is clipped. "
        "no ceiling: vertices left out because theirs is unknown or 0",
    )
    heads = ("ceiling", "explained", "above 1", "vertices", "no ceiling")

    def cells(one: Explained) -> tuple[str, ...]:
        return (
            one.method,
            as_r(one.ceiling),
            as_percent(one.share),
            f"{one.n_above:,}",
            f"{one.n_vertices:,}",
            f"{one.n_without:,}",
        )

    return _fill(table, by, heads, explained, cells)


def share_table(differences: Sequence[ShareDifference], by: By) -> Table:
    """Tabulate how two methods' shares of the explainable variance differ, row by row."""
    intervals = describe_intervals([one.uncertainty for one in differences])
    table = new_table(
        f"Share of the explainable variance: {differences[0].a} against {differences[0].b}",
        "protocol nested. diff.: median share over the vertices that have both, minus the other's, "
        "in percentage points, mean over seeds, ROIs and subjects; the noise ceilings are taken as "
        f"known. {intervals}",
    )
    heads = ("diff.", f"{LEVEL:.0%} interval", "ROIs")

    def cells(one: ShareDifference) -> tuple[str, ...]:
        return (
            one.a,
            as_points(one.difference),
            NONE if one.interval is None else " ".join(map(as_points, one.interval)),
            str(len(one.row.rois)),
        )

    return _fill(table, by, heads, differences, cells, is_named=True)


def gap_table(gaps: Sequence[Gap], by: By, protocols: tuple[str, str]) -> Table:
    """Tabulate two protocols side by side, row by row."""
    first, second = protocols
    table = new_table(
        f"Protocols {first} and {second}, the same trials and vertices",
        f"gap: r under {second} minus r under {first}; higher: share of vertices with the higher r "
        f"under {second}. {_gap_note(protocols)}",
    )
    heads = (first, second, "gap", "higher", "vertices")

    def cells(one: Gap) -> tuple[str, ...]:
        return (
            one.method,
            as_r(one.first),
            as_r(one.second),
            as_difference(one.difference),
            as_percent(one.share_higher),
            f"{one.n_vertices:,}",
        )

    return _fill(table, by, heads, gaps, cells)


def _gap_note(protocols: tuple[str, str]) -> str:
    if set(protocols) == {"nested", "paper"}:
        return (
            "The gap has three causes: paper chooses on the folds that it reports, which raises "
            "its r; it fits on only four fifths of the test images, which lowers it; and nested "
            "fits on images that a backbone was fine-tuned on, which lowers the r of nested"
        )
    return "released measures r on images that a fine-tuned backbone was trained on"


def _fill(
    table: Table,
    by: By,
    heads: Sequence[str],
    lines: Sequence[Line],
    cells: Callable[[Line], tuple[str, ...]],
    *,
    is_named: bool = False,
) -> Table:
    """Add one row per line, with the row's label on the first.

    heads: those of the numbers. cells: the label of the method, and the numbers. is_named: whether
    the title names the method of all lines; it has no columns then, whose room ROIs need.
    """
    table.add_column(by, overflow="fold")
    labels = list(dict.fromkeys(cells(one)[0] for one in lines))
    columns = SettingColumns.of(labels)
    if not is_named:
        columns.add_to(table)
        table.caption = f"{table.caption}{columns.note}"
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    last: Row | None = None
    for one in lines:
        draw_line(table, last, one.row, apart=len(labels) > 1)
        label, *numbers = cells(one)
        shown = "" if last == one.row else one.row.label
        table.add_row(shown, *(() if is_named else columns.cells(label)), *numbers)
        last = one.row
    return table


def _left_out(n_missing: int) -> str:
    return (
        f". ROIs left out for lack of predictions or responses: {n_missing:,}" if n_missing else ""
    )
