"""Tables of scores for the terminal: summaries, comparisons, layers, a sweep's closing table."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from rich.table import Table

from orchestrator.cli.text import NONE, as_difference, as_mean, as_percent, as_r, count, new_table
from orchestrator.scores.alpha_notes import alpha_notes
from orchestrator.scores.display.interval_notes import describe_intervals, describe_missing
from orchestrator.scores.display.style import (
    SeedsColumn,
    SettingColumns,
    draw_line,
    mark_simulated,
)
from orchestrator.scores.filters import of_latest_data, started_in
from orchestrator.scores.references import with_references
from orchestrator.scores.rows import By, Row, method_order
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics.hierarchical_interval import LEVEL
from orchestrator.scores.statistics.measured_differences import measure_differences
from orchestrator.scores.statistics.summaries import Comparison, LayerChoice, Summary, compare_all
from orchestrator.scores.statistics.vertex_pairs import Pairs, pair
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.spec.labels import method_of

LABEL_WIDTH: Final = 9
"""Of ``all early`` and ``all higher``, which fold: narrower, and the names of ROIs would too."""
BETTER: Final = "better: share of vertices with the higher r"
OPTIMISTIC: Final = {
    "paper": "paper is optimistic for every method: it chooses layer and alpha, and reports r, "
    "on the same folds of the test images. Its r can be lower than that of nested all the same: "
    "it fits on four fifths of the test images, which are fewer than the training images",
    "released": "released leaks: it measures r on images that a fine-tuned backbone was trained on",
}
"""The note under a table of these protocols."""


def summary_table(summaries: Sequence[Summary], by: By, protocol: str) -> Table:
    """Tabulate every method's scores in each setting, row by row.

    Beside the columns of settings there is no room for r > 0 and no r, which exports have.
    """
    labels = list(dict.fromkeys(one.method for one in summaries))
    columns, seeds = SettingColumns.of(labels), SeedsColumn.of(summaries)
    table = new_table(
        f"Scores by {by}, protocol {protocol}",
        "means over the vertices of an ROI, over the ROIs of a subject, then over subjects; "
        "vertices: summed over ROIs, one in several ROIs in each"
        f"{seeds.spread_note}{columns.note}",
    )
    table.add_column(by, overflow="fold")
    columns.add_to(table)
    heads = ["mean r", "median r", "vertices", "ROIs", "subjects", *seeds.heads]
    if not columns.names:
        heads[2:4] = ["r > 0", "vertices", "no r", "ROIs"]
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    last: Row | None = None
    for one in summaries:
        draw_line(table, last, one.row, apart=len(labels) > 1)
        cells = {
            "mean r": as_mean(one.mean, one.seed_sd),
            "median r": as_r(one.median),
            "r > 0": as_percent(one.share_positive),
            "vertices": f"{one.n_vertices:,}",
            "no r": f"{one.n_constant:,}",
            "ROIs": str(one.n_rois),
            "subjects": str(one.n_subjects),
            "seeds": seeds.cell(one.n_seeds),
        }
        shown = one.row.label if one.row is not last else ""
        table.add_row(shown, *columns.cells(one.method), *(cells[head] for head in heads))
        last = one.row
    return table


def comparison_table(comparisons: Sequence[Comparison], by: By, protocol: str) -> Table:
    """Tabulate paired comparisons of methods and settings, with their intervals.

    The title names a single method, which has no columns then: ROIs need their room.
    """
    methods = method_order({one.a for one in comparisons})
    seeds, several = SeedsColumn.of(comparisons), len(methods) > 1
    columns = SettingColumns.of(methods if several else ())
    title = "each method" if several else methods[0]
    n_subjects = len({subject for one in comparisons for subject in one.subjects})
    against = _reference(comparisons)
    intervals = describe_intervals([one.uncertainty for one in comparisons])
    table = new_table(
        f"{title} against {against}, protocol {protocol}, {count(n_subjects, 'subject')}",
        f"{intervals}. {BETTER}{seeds.note}{columns.note}",
    )
    table.add_column(by, overflow="fold", min_width=LABEL_WIDTH)
    if several:
        columns.add_to(table)
    interval = f"{LEVEL:.0%} interval"
    heads = ["r", method_of(against), "diff.", interval, "better", "pairs", "ROIs", *seeds.heads]
    # No room beside the columns of settings or of seeds.
    left_out = {"pairs", "ROIs"} if columns.names or seeds.is_shown else set()
    left_out |= {"ROIs"} if by == "subject-roi" else set()
    for head in heads:
        if head not in left_out:
            table.add_column(head, justify="right", no_wrap=True)
    labels = dict.fromkeys((one.row.is_total, one.row.label) for one in comparisons)
    last: Row | None = None
    for is_total, label in labels:
        of_row = [o for o in comparisons if (o.row.is_total, o.row.label) == (is_total, label)]
        for one in sorted(of_row, key=lambda o: methods.index(o.a)):
            draw_line(table, last, one.row, apart=len(methods) > 1)
            shown = label if one is of_row[0] else ""
            numbers = zip(heads, _comparison_cells(one, seeds), strict=True)
            cells = (cell for head, cell in numbers if head not in left_out)
            table.add_row(shown, *(columns.cells(one.a) if several else ()), *cells)
            last = one.row
    return table


def _reference(comparisons: Sequence[Comparison]) -> str:
    """Name what methods are compared with: one label, or the method that all labels have."""
    labels = list(dict.fromkeys(one.b for one in comparisons))
    methods = list(dict.fromkeys(map(method_of, labels)))
    if len(labels) == 1:
        return labels[0]
    return f"{methods[0]} of its backbone and encoding" if len(methods) == 1 else "another"


def _comparison_cells(one: Comparison, seeds: SeedsColumn) -> tuple[str, ...]:
    return (
        as_r(one.mean_a),
        as_r(one.mean_b),
        as_difference(one.difference),
        NONE if one.interval is None else " ".join(map(as_difference, one.interval)),
        as_percent(one.share_improved),
        f"{one.n_pairs:,}",
        str(len(one.row.rois)),
        *([seeds.cell(one.n_seeds)] if seeds.is_shown else []),
    )


def layer_table(choices: Sequence[LayerChoice], protocol: str) -> Table:
    """Tabulate which layers the ROIs of each method and setting chose."""
    columns = SettingColumns.of(one.method for one in choices)
    table = new_table(
        f"Layers, protocol {protocol}",
        "chosen: share of the ROIs (of each seed), and their mean r; at layer: mean r of all ROIs "
        f"there; streams, atlases and whole hemispheres are left out where there are other "
        f"ROIs{columns.note}",
    )
    columns.add_to(table)
    table.add_column("layer", no_wrap=True)
    for head in ("ROIs", "chosen", "r, chosen", "r, at layer"):
        table.add_column(head, justify="right")
    last = ""
    for one in choices:
        if last and one.method != last:
            table.add_section()
        cells = columns.cells(one.method)
        table.add_row(
            *(cells if one.method != last else ("" for _ in cells)),
            one.layer,
            f"{one.n_chosen} of {one.n_rois}",
            as_percent(one.n_chosen / one.n_rois),
            as_r(one.r_chosen),
            as_r(one.r_at_layer),
        )
        last = one.method
    return table


def setting_table(summaries: Sequence[Summary], digests: Mapping[str, str], protocol: str) -> Table:
    """Tabulate the mean r of each setting: one row per setting, one column per ROI group.

    digests: the 8 hex digits of each setting, by label.
    """
    labels = list(dict.fromkeys(one.method for one in summaries))
    columns, seeds = SettingColumns.of(labels), SeedsColumn.of(summaries)
    table = new_table(
        f"Scores by setting, protocol {protocol}",
        "mean r over the vertices of an ROI, over the ROIs of a subject, then over subjects; "
        f"setting: its digits, which --trial takes{seeds.spread_note}{columns.note}",
    )
    groups = list(dict.fromkeys(one.row.label for one in summaries))
    columns.add_to(table)
    for head in (*groups, "ROIs", "subjects", *seeds.heads, "setting"):
        table.add_column(head, justify="right", no_wrap=True)
    for label in method_order(labels):
        own = {one.row.label: one for one in summaries if one.method == label}
        widest = max(own.values(), key=lambda one: one.n_rois)
        table.add_row(
            *columns.cells(label),
            *(
                as_mean(own[group].mean, own[group].seed_sd) if group in own else ""
                for group in groups
            ),
            str(widest.n_rois),
            str(widest.n_subjects),
            *([seeds.cell(widest.n_seeds)] if seeds.is_shown else []),
            digests[label],
        )
    return table


def unpaired(pairs: Pairs) -> str | None:
    """Describe which vertices a comparison leaves out, and why; None when there are none."""
    counts = {
        f"only {pairs.a} scored": pairs.n_only_a,
        f"only {pairs.b} scored": pairs.n_only_b,
        "without an r": pairs.n_constant,
    }
    unpaired_notes = [f"{count:,} {reason}" for reason, count in counts.items() if count]
    if not unpaired_notes:
        return None
    return f"{pairs.a} against {pairs.b} leaves out vertices: {', '.join(unpaired_notes)}"


def closing_table(
    runs: RunDirectory, data: DataDirectory, trial_ids: Collection[str], by: By = "group"
) -> Table | None:
    """Compare every fine-tuned method of a sweep, in each setting, with untuned under ``nested``.

    data: the directory of the shards. Returns None where no vertex has both scores: none is
    written, no untuned trial, or another protocol. Raises ValueError when a score file is damaged.
    """
    if not runs.has_scores(trial_ids):
        return None
    table = read_score_table(runs, trial_ids)
    nested = table.keep("protocol", ["nested"])
    kept, notes = of_latest_data(nested, started_in(runs))
    found, without = with_references(kept, "untuned")
    pairs = [pair(kept.over_seeds, *labels) for labels in found]
    measured = measure_differences(kept, found, runs, data)
    comparisons = compare_all(pairs, by, measured)
    if not comparisons:
        return None
    shown = comparison_table(comparisons, by, "nested")
    notes += [*without, *filter(None, map(unpaired, pairs)), *describe_missing(measured)]
    notes += alpha_notes(kept)
    shown.caption = "\n".join([str(shown.caption), *notes])
    if kept.is_simulated:
        mark_simulated(shown)
    return shown
