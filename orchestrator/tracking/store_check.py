"""Check within seconds that MLflow's store answers and can be written, before it is used.

MLflow itself tries for minutes: to open a database that can't be opened, or to reach a server.
"""

import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.store.db.utils import create_sqlalchemy_engine

from orchestrator.tracking.mlflow_store import StoreError, make_store, sqlite_path
from trainables.storage.local_files import existing_part

ANSWER_SECONDS: Final = 12.0
"""Timeout for the store's answer."""
LOCK_SECONDS: Final = 5.0
"""Timeout for other processes' writes to an SQLite store."""
VARIABLE: Final = "MLFLOW_TRACKING_URI"
DATABASES: Final = ("postgresql", "mysql", "mssql")
"""Beginnings of the addresses of databases other than SQLite."""
MEANINGS: Final = (
    ("refused", "connection refused"),
    ("resol", "unknown host"),
    ("Name or service not known", "unknown host"),
    ("timed out", "no answer"),
    ("timeout", "no answer"),
    ("password authentication", "the password is not right"),
    ("not authenticated", "not authenticated: set MLFLOW_TRACKING_USERNAME and _PASSWORD"),
    ("<html", "what answers is not MLflow"),
    ("not a valid JSON", "what answers is not MLflow"),
    ("too many 500", "the server answers with errors (HTTP 500)"),
)
"""Parts of the messages of MLflow and its libraries, and what they mean."""


def open_store(uri: str) -> MlflowClient:
    """Open a store, and create it if it is SQLite and absent; raise StoreError if it is down."""
    check_store(uri)
    make_store(uri)
    return MlflowClient(tracking_uri=uri)


def check_store(uri: str, seconds: float | None = None) -> None:
    """Check that a store answers soon and, if it is SQLite, that it can be written.

    seconds: timeout; None: ANSWER_SECONDS. Raises StoreError with the reason and the cure.
    """
    seconds = ANSWER_SECONDS if seconds is None else seconds
    path = sqlite_path(uri)
    if path is not None:
        _check_sqlite(path)
        return
    try:
        _within(seconds, lambda: _ask(uri))
    except TimeoutError:
        why = f"no answer within {seconds:.0f} s"
    except Exception as error:  # MLflow's own, and those of its libraries
        why = _describe(error)
    else:
        return
    raise StoreError(f"{why}; start it, or set {VARIABLE} to another store")


def _within(seconds: float, call: Callable[[], object]) -> None:
    """Call a function in a thread that is given up after some seconds; raise its exception."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, name="mlflow check", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError
    if raised:
        raise raised[0]


def _describe(error: Exception) -> str:
    """Describe an exception of MLflow in a few words."""
    text = str(error)
    known = (meaning for sign, meaning in MEANINGS if sign.lower() in text.lower())
    first = (text.strip().splitlines() or [type(error).__name__])[0]
    return next(known, first[:120])


def _ask(uri: str) -> None:
    """Ask a store for an experiment; of a database, only whether it lets this process in.

    MLflow retries a database for minutes, in which its other calls wait too.
    """
    if uri.startswith(DATABASES):
        engine = create_sqlalchemy_engine(uri)  # type: ignore[no-untyped-call]
        engine.connect().close()
        engine.dispose()
    else:
        MlflowClient(tracking_uri=uri).search_experiments(max_results=1)


def _check_sqlite(path: Path) -> None:
    """Raise StoreError unless a database can be written, or made if there is none."""
    try:
        if path.exists():
            _try_to_write(path)
        else:
            with tempfile.TemporaryFile(dir=existing_part(path)):
                return
    except sqlite3.Error as error:
        why = str(error)
    except OSError as error:
        why = error.strerror or str(error)
    else:
        return
    raise StoreError(
        f"{path} can't be written ({why}); set {VARIABLE} to another store, such as "
        "sqlite:////DIRECTORY/mlflow.db"
    )


def _try_to_write(path: Path) -> None:
    """Write to a database and take it back; raise sqlite3.Error if that fails."""
    if not os.access(path, os.W_OK):
        raise sqlite3.OperationalError("it is read-only")
    database = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=rw",
        uri=True,
        timeout=LOCK_SECONDS,
        isolation_level=None,
    )
    try:
        [version] = database.execute("PRAGMA user_version").fetchone()
        database.execute("BEGIN IMMEDIATE")
        database.execute(f"PRAGMA user_version = {int(version)}")
        database.execute("ROLLBACK")
    finally:
        database.close()
