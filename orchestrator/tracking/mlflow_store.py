"""The store of MLflow's runs: its address, and the creation of a local one.

MLflow, which takes seconds to import, is imported only to open a store.
"""

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trainables.storage.local_files import create

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE: Final = "sqlite:///"
DEFAULT_URI: Final = f"{SQLITE}mlflow.db"


class StoreError(RuntimeError):
    """MLflow's store can't be used; the message is one line with the cure."""


def tracking_uri() -> str:
    """Return the store's address: MLFLOW_TRACKING_URI, or SQLite in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def sqlite_path(uri: str) -> Path | None:
    """Return the file of an SQLite store; None for another store."""
    return Path(uri.removeprefix(SQLITE).partition("?")[0]) if uri.startswith(SQLITE) else None


def make_store(uri: str) -> None:
    """Create an SQLite store atomically, under a temporary name that then becomes its name.

    MLflow can't open a database whose first migration was interrupted. Other kinds of stores, and
    an existing one, are left unchanged.
    """
    path = sqlite_path(uri)
    if path is None or path.exists():
        return
    from mlflow import MlflowClient

    # A random name, because MLflow remembers the names of stores that it has opened.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        MlflowClient(tracking_uri=f"{SQLITE}{beside}").search_experiments(max_results=1)
        create(beside, path)
    except FileExistsError:
        return  # another process was first
    finally:
        beside.unlink(missing_ok=True)


def find_experiment(client: "MlflowClient", name: str) -> str:
    """Return the id of an experiment, created if absent, and restored if it was deleted.

    MLflow keeps the name of a deleted experiment, so that no other one can have it. Raises
    StoreError with the cure if it can't be restored.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:  # not created by another process in the meantime
                raise
    if found.lifecycle_stage == "deleted":
        try:
            client.restore_experiment(found.experiment_id)
        except MlflowException as error:
            why = (str(error).splitlines() or [""])[0]
            raise StoreError(
                f"experiment {name!r} is deleted and can't be restored ({why}); restore it in "
                "MLflow, or give --experiment another name"
            ) from error
    return str(found.experiment_id)
