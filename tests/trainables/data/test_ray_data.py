"""Ray Data prints nothing of its own, whoever imports it."""

import subprocess
import sys

READ = """
import logging
from trainables.data.ray_data import import_ray_data
data = import_ray_data()
logger = logging.getLogger("ray.data._internal.execution.streaming_executor")
assert not logger.isEnabledFor(logging.WARNING), logger.getEffectiveLevel()
context = data.DataContext.get_current()
assert not context.enable_progress_bars
assert not context.enable_operator_progress_bars
"""


def test_ray_data_is_silent_after_its_import() -> None:
    # In a process of its own: the first import sets the logger's level.
    done = subprocess.run([sys.executable, "-c", READ], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
