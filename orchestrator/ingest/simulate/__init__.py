"""Simulation of subjects and tasks with a known forward model, in layouts that ingest reads."""

__all__ = ["algonauts", "command", "pretrained_weights", "task"]
