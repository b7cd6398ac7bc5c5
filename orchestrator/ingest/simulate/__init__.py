"""Simulated subjects and tasks, written in the layouts that ingest reads."""
