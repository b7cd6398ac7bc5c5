"""The store of MLflow's runs: its address, and the creation of a local one."""

import os
import secrets
from pathlib import Path
from typing import Final

from mlflow import MlflowClient

SQLITE: Final = "sqlite:///"
DEFAULT_URI: Final = f"{SQLITE}mlflow.db"


def tracking_uri() -> str:
    """Return the store's address: MLFLOW_TRACKING_URI, or SQLite in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def make_store(uri: str) -> None:
    """Create an SQLite store atomically, under a temporary name that is then linked.

    MLflow can't open a database whose first migration was interrupted. Other kinds of stores, and
    an existing one, are left unchanged.
    """
    path = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE) or path.exists():
        return
    # A random name, because MLflow remembers the names of stores that it has opened.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        MlflowClient(tracking_uri=f"{SQLITE}{beside}").search_experiments(max_results=1)
        os.link(beside, path)
    except FileExistsError:
        return  # another process was first
    finally:
        beside.unlink(missing_ok=True)
