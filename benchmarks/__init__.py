"""Every figure in the documentation has a command here: ``python -m benchmarks.NAME``."""
