"""The files that a trial leaves: outcome, scores, predictions, event log."""
