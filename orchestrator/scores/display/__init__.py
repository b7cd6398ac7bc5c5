"""Tables of scores, tests and transfer on the terminal."""

__all__ = ["score_tables", "statistics_tables", "style", "transfer_tables"]
