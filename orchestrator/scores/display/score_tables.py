"""Tables of scores for the terminal: summaries, comparisons, layers, a sweep's closing table."""

from collections.abc import Collection, Sequence
from typing import Final

from rich.table import Table

from orchestrator.cli.text import as_difference, as_percent, as_r, count, new_table
from orchestrator.scores.display.style import draw_line
from orchestrator.scores.filters import one_trial_per_roi, started_in
from orchestrator.scores.rows import By, Row, method_order
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics.summaries import Comparison, LayerChoice, Summary, compare_all
from orchestrator.scores.statistics.vertex_pairs import Bootstrap, Pairs, pair
from trainables.results.run_directory import RunDirectory

OPTIMISTIC: Final = {
    "paper": "paper is optimistic for every method: it chooses layer and alpha, and reports r, "
    "on the same folds of the test images",
    "released": "released leaks: it measures r on images that a fine-tuned backbone was trained on",
}
"""The note under a table of these protocols."""


def summary_table(summaries: Sequence[Summary], by: By, protocol: str) -> Table:
    """Tabulate every method's scores, row by row."""
    table = new_table(
        f"Scores by {by}, protocol {protocol}",
        "means over the vertices of an ROI, over the ROIs of a subject, then over subjects",
    )
    table.add_column(by, overflow="fold")
    table.add_column("method", no_wrap=True)
    for head in ("mean r", "median r", "r > 0", "vertices", "no r", "ROIs", "subjects"):
        table.add_column(head, justify="right", no_wrap=True)
    last: Row | None = None
    for one in summaries:
        draw_line(table, last, one.row, apart=len({s.method for s in summaries}) > 1)
        table.add_row(
            one.row.label if one.row is not last else "",
            one.method,
            as_r(one.mean),
            as_r(one.median),
            as_percent(one.share_positive),
            f"{one.n_vertices:,}",
            f"{one.n_constant:,}",
            str(one.n_rois),
            str(one.n_subjects),
        )
        last = one.row
    return table


def comparison_table(
    comparisons: Sequence[Comparison], by: By, protocol: str, bootstrap: Bootstrap
) -> Table:
    """Tabulate paired comparisons, all against the same method, with their intervals."""
    against = comparisons[0].b
    methods = method_order({one.a for one in comparisons})
    title = methods[0] if len(methods) == 1 else "each method"
    n_subjects = len({subject for one in comparisons for subject in one.subjects})
    table = new_table(
        f"{title} against {against}, protocol {protocol}, {count(n_subjects, 'subject')}",
        _caption(bootstrap),
    )
    table.add_column(by, overflow="fold")
    table.add_column("method", no_wrap=True)
    heads = ["r", against, "diff.", f"{bootstrap.level:.0%} interval", "better", "pairs", "ROIs"]
    if by == "subject-roi":
        heads = heads[:-1]
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    labels = dict.fromkeys((one.row.is_total, one.row.label) for one in comparisons)
    last: Row | None = None
    for is_total, label in labels:
        of_row = [o for o in comparisons if (o.row.is_total, o.row.label) == (is_total, label)]
        for one in sorted(of_row, key=lambda o: methods.index(o.a)):
            draw_line(table, last, one.row, apart=len(methods) > 1)
            shown = label if one is of_row[0] else ""
            table.add_row(shown, one.a, *_comparison_cells(one)[: len(heads)])
            last = one.row
    return table


def _comparison_cells(one: Comparison) -> tuple[str, ...]:
    return (
        as_r(one.mean_a),
        as_r(one.mean_b),
        as_difference(one.difference),
        f"{as_difference(one.low)} {as_difference(one.high)}",
        as_percent(one.share_improved),
        f"{one.n_pairs:,}",
        str(len(one.row.rois)),
    )


def layer_table(choices: Sequence[LayerChoice], protocol: str) -> Table:
    """Tabulate which layers the ROIs of each method chose."""
    table = new_table(
        f"Layers, protocol {protocol}",
        "chosen: share of the ROIs, and their mean r; at layer: mean r of all ROIs there; "
        "streams are left out where there are other ROIs",
    )
    table.add_column("method", no_wrap=True)
    table.add_column("layer", no_wrap=True)
    for head in ("ROIs", "chosen", "r, chosen", "r, at layer"):
        table.add_column(head, justify="right")
    last = ""
    for one in choices:
        if last and one.method != last:
            table.add_section()
        table.add_row(
            one.method if one.method != last else "",
            one.layer,
            f"{one.n_chosen} of {one.n_rois}",
            as_percent(one.n_chosen / one.n_rois),
            as_r(one.r_chosen),
            as_r(one.r_at_layer),
        )
        last = one.method
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
    runs: RunDirectory,
    trial_ids: Collection[str],
    by: By = "group",
    bootstrap: Bootstrap | None = None,
) -> Table | None:
    """Compare every fine-tuned method of a sweep with untuned under ``nested``.

    Returns None where no vertex has both scores: none is written, no untuned trial, or another
    protocol. Raises ValueError when a score file is damaged.
    """
    bootstrap = bootstrap or Bootstrap()
    if not runs.has_scores(trial_ids):
        return None
    table = read_score_table(runs, trial_ids)
    nested = table.keep("protocol", ["nested"])
    kept, notes = one_trial_per_roi(nested, started_in(runs))
    methods = [m for m in method_order(kept.present("method")) if m != "untuned"]
    pairs = [pair(kept.vertices, method, "untuned") for method in methods]
    comparisons = compare_all(pairs, by, bootstrap)
    if not comparisons:
        return None
    shown = comparison_table(comparisons, by, "nested", bootstrap)
    unpaired_notes = [note for note in map(unpaired, pairs) if note]
    shown.caption = "\n".join([str(shown.caption), *notes, *unpaired_notes])
    return shown


def _caption(bootstrap: Bootstrap) -> str:
    return (
        f"interval: {bootstrap.n_draws:,} bootstrap draws of the vertices of each ROI, paired. "
        "It covers the choice of vertices, taken as independent; not other images, subjects or "
        "seeds. better: share of vertices with the higher r"
    )
