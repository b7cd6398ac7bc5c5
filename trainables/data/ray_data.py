"""Ray Data, imported where it is used and without output of its own."""

import logging
from types import ModuleType


def import_ray_data() -> ModuleType:
    """Import Ray Data (seconds) and turn off its progress bars and all but its errors.

    Commands display progress themselves. Importing it sets the level of its logger, so that an
    earlier setting is lost.
    """
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    return ray.data
