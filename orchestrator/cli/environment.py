"""Environment variables of this program's processes, set once at the start of each process.

The libraries that read them offer no arguments instead. A variable that the user has set is not
changed, except where it can't work: a width of no columns, or a proxy for this machine itself.
"""

import os
import pwd
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from trainables.storage.local_files import existing_part

DRIVER: Final[Mapping[str, str]] = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # score files and MLflow replace them
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",  # as many as run at once, without a warning
    "RAY_AIR_NEW_OUTPUT": "0",  # the older output can be silenced
    # A sweep has more processes than cores, but most of them sleep: no warning is needed.
    "RAY_worker_maximum_startup_concurrency": "16",
    # Else a command waits for a process for each CPU, which start when they are needed anyway.
    "RAY_prestart_worker_first_driver": "0",
    # A group that loses its node resumes at the trial's checkpoint and needs no advance notice,
    # and the watcher would be one more process to start for every group.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # Else `uv run` makes Ray copy the whole working directory, data included, for its workers.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # Calls to a store that is down fail within seconds instead of MLflow's default of minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "PGCONNECT_TIMEOUT": "5",
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


@contextmanager
def environment_within(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables within the block, in this process and the child processes that it starts."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
PROXY_EXCEPTIONS: Final = ("no_proxy", "NO_PROXY")
"""Programs read one or the other; where both are set, most read the first only."""
MIN_COLUMNS: Final = 20
USER_VARIABLES: Final = ("LOGNAME", "USER", "LNAME", "USERNAME")
"""Variables in which Python looks for the name of the user."""
TOKEN_VARIABLES: Final = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def complete_environment() -> None:
    """Complete this process's environment where the machine's does not suit a command.

    Proxies do not apply to this machine; the terminal has a width; the user has a name; a local Ray
    has a token even if none can be kept in the home directory.
    """
    exceptions = _without_loopback(*(os.environ.get(name, "") for name in PROXY_EXCEPTIONS))
    for name in PROXY_EXCEPTIONS:
        os.environ[name] = exceptions
    for name in ("COLUMNS", "LINES"):
        if not _is_usable(os.environ.get(name, ""), MIN_COLUMNS if name == "COLUMNS" else 1):
            os.environ.pop(name, None)
    if not any(os.environ.get(name) for name in USER_VARIABLES) and not _has_account():
        os.environ[USER_VARIABLES[0]] = f"uid{os.getuid()}"
    if not any(os.environ.get(name) for name in TOKEN_VARIABLES) and not _can_keep_token():
        os.environ[TOKEN_VARIABLES[0]] = secrets.token_hex(32)


def _without_loopback(*given: str) -> str:
    """Join lists of hosts that are reached without a proxy, and add this machine's own names."""
    hosts = [host.strip() for one in given for host in one.split(",") if host.strip()]
    return ",".join(dict.fromkeys(hosts if "*" in hosts else (*hosts, *LOOPBACK)))


def _is_usable(text: str, least: int) -> bool:
    return text.isdecimal() and len(text) < 6 and int(text) >= least


def _has_account() -> bool:
    """Return whether the system knows the user; not so in a container with a made-up uid."""
    with suppress(KeyError):
        return bool(pwd.getpwuid(os.getuid()))
    return False


def _can_keep_token() -> bool:
    """Return whether Ray can read or write its token in the home directory."""
    try:
        token = Path.home() / ".ray" / "auth_token"
        if token.exists():
            return os.access(token, os.R_OK)
        there = existing_part(token)
    except (OSError, RuntimeError):  # no home, or one that may not be entered
        return False
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
