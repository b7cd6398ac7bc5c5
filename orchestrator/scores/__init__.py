"""From score files to tables: rows, summaries, intervals, tests, display and export."""

__all__ = ["display", "filters", "overlap_notes", "rows", "score_table", "statistics"]
