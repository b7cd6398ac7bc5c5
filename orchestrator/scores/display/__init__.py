"""Tables of scores, tests and transfer on the terminal."""

__all__ = ["interval_notes", "score_tables", "statistics_tables", "style", "transfer_tables"]
