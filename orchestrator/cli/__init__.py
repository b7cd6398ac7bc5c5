"""Shared by all command lines: the program, parameters, input errors, exit codes and text."""

__all__ = [
    "app",
    "arguments",
    "environment",
    "errors",
    "problems",
    "process",
    "selection",
    "signals",
    "strangers",
    "terminal",
    "text",
    "trust",
    "values",
]
