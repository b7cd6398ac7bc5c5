"""Scores of exported models on NSD-synthetic: their files, and rows with intervals."""

__all__ = ["score_files", "summaries", "summary_table"]
