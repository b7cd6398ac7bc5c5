"""The files that a trial leaves: outcome, scores, predictions and event log."""

__all__ = [
    "complete_scores",
    "epoch_report",
    "event_log",
    "outcome",
    "prediction_files",
    "provenance",
    "run_directory",
    "score_files",
    "strangers",
]
