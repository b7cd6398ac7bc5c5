"""Fixtures of tests of several commands."""

from tests.builders.exported_models import model_copy, swept, swept_once
from tests.builders.nsd_size import nsd_size
from tests.builders.paired_sweep import paired_sweep
from tests.builders.predicted_sweep import predicted_sweep
from tests.builders.uneven_sweep import uneven

__all__ = [
    "model_copy",
    "nsd_size",
    "paired_sweep",
    "predicted_sweep",
    "swept",
    "swept_once",
    "uneven",
]
