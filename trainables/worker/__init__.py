"""One trial on a worker, from data to scores."""

__all__ = ["context", "reading", "runner", "score_subject", "starting", "subject_cache"]
