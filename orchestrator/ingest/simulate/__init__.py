"""Simulated subjects and tasks with a known forward model, in the layouts that ingest reads."""

__all__ = ["algonauts", "command", "pretrained_weights", "task"]
