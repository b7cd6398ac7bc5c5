"""Environment variables of this program's processes, set once at the start of each process.

The libraries that read them offer no arguments instead. A variable that the user has set is not
changed.
"""

import os
from collections.abc import Mapping
from typing import Final

DRIVER: Final[Mapping[str, str]] = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # score files and MLflow replace them
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",  # as many as run at once, without a warning
    "RAY_AIR_NEW_OUTPUT": "0",  # the older output can be silenced
    # A sweep has more processes than cores, but most of them sleep: no warning is needed.
    "RAY_worker_maximum_startup_concurrency": "16",
    # A group that loses its node resumes at the trial's checkpoint and needs no advance notice,
    # and the watcher would be one more process to start for every group.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # Calls to a store that is down fail within seconds instead of MLflow's default of minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    # The client of a server prints two lines for each run that ends.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Variables of a command's process."""

WORKER: Final[Mapping[str, str]] = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # cuBLAS needs it to be bitwise reproducible
}
"""Variables of a worker process; cuBLAS reads its variable at first use."""


def set_environment(*parts: Mapping[str, str]) -> None:
    """Set variables that are not set yet, in this process and its child processes."""
    for part in parts:
        for name, value in part.items():
            os.environ.setdefault(name, value)
