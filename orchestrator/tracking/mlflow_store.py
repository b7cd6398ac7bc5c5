"""The store that MLflow's runs are in: its address, and how a local one is made."""

import os
import secrets
from pathlib import Path
from typing import Final

from mlflow import MlflowClient

SQLITE: Final = "sqlite:///"
DEFAULT_URI: Final = f"{SQLITE}mlflow.db"


def tracking_uri() -> str:
    """Name the store: MLFLOW_TRACKING_URI, or SQLite in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def make_store(uri: str) -> None:
    """Make an SQLite store beside and link it: a process killed meanwhile leaves no half of one.

    MLflow can't open a database whose first migration was cut. Other stores, and one that is
    there, are left alone.
    """
    path = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE) or path.exists():
        return
    beside = path.with_name(
        f".{path.name}.{secrets.token_hex(4)}"
    )  # MLflow knows names it has seen
    try:
        MlflowClient(tracking_uri=f"{SQLITE}{beside}").search_experiments(max_results=1)
        os.link(beside, path)
    except FileExistsError:
        return  # another process was first
    finally:
        beside.unlink(missing_ok=True)
