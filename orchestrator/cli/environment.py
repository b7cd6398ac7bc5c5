"""The environment of this program's processes, set once where a process starts.

Libraries read these variables late, and have no arguments in their place. What the user has set
stays as it is.
"""

import os
from collections.abc import Mapping
from typing import Final

DRIVER: Final[Mapping[str, str]] = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # scores and MLflow are our record
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",  # as many as run at once, and no warning of them
    "RAY_AIR_NEW_OUTPUT": "0",  # the older output is silent when asked to be
    # A sweep has more processes than cores, most of them asleep: no cause for a warning.
    "RAY_worker_maximum_startup_concurrency": "16",
    # A group that loses its node resumes at the trial's checkpoint: it needs no notice, and the
    # watcher is one more process to start for every group.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # A store that is down answers within seconds instead of MLflow's default of minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    # A server's client prints two lines a run that ends.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Of a command's own process."""

WORKER: Final[Mapping[str, str]] = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # cuBLAS is bitwise reproducible only so
}
"""Of a process that computes: cuBLAS reads it when it is first used."""


def set_environment(*parts: Mapping[str, str]) -> None:
    """Set what is not set yet, in this process and those that it starts."""
    for part in parts:
        for name, value in part.items():
            os.environ.setdefault(name, value)
