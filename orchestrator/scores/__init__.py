"""From score files to tables: rows, summaries, intervals, tests, display and export."""

__all__ = [
    "alpha_notes",
    "choice",
    "display",
    "export",
    "filters",
    "mean_scores",
    "ood",
    "overlap_notes",
    "references",
    "rows",
    "score_table",
    "setting_filters",
    "statistics",
    "table_export",
    "tidy_export",
    "vertex_layers",
]
