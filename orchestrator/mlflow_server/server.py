"""Run MLflow's server with passwords, on PostgreSQL."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.cli.errors import InputError
from orchestrator.mlflow_server.postgres import check_database, postgres
from orchestrator.mlflow_server.supervisor import (
    HOME_VARIABLE,
    child,
    supervised,
)
from trainables.storage.atomic import write_text
from trainables.storage.redaction import redact

ADMIN: Final = "admin"
START_SECONDS: Final = 120.0
AUTH: Final = """\
[mlflow]
default_permission = EDIT
database_uri = {database}
admin_username = {admin}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


@dataclass(frozen=True)
class Secrets:
    """The secrets of the server and its users, kept in a file of the home with mode 0600."""

    admin: str
    database: str
    session: str

    @classmethod
    def of(cls, home: Path) -> "Secrets":
        """Read the secrets of a home; at the first start, draw and write them."""
        path = home / "secrets"
        if not path.exists():
            write_private(path, "\n".join(secrets.token_urlsafe(24) for _ in range(3)))
        lines = path.read_text(encoding="utf-8").split()
        if len(lines) != 3:
            raise InputError(f"{path}: expected three lines of secrets, found {len(lines)}")
        return cls(*lines)


@dataclass(frozen=True)
class ServerSettings:
    """The address that the server listens on, and where it stores data."""

    home: Path
    host: str
    port: int
    artifacts: str | None
    """A directory or an S3 prefix; None: in the home."""
    database: str | None
    """Address of a running PostgreSQL; None: a private one, in the home."""


def serve(settings: ServerSettings) -> None:
    """Serve until interrupted; raise InputError if a server does not start, or ends."""
    home = settings.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    address = f"http://{settings.host}:{settings.port}"
    with supervised(home, home / "postgres") as n_left:
        if n_left:
            sys.stdout.write(f"ended {n_left} processes that an earlier server had left\n")
        _check_port(settings)
        _serve(settings, home, address)


def _serve(settings: ServerSettings, home: Path, address: str) -> None:
    known = Secrets.of(home)
    with (
        _databases(settings.database, home, known) as (tracking, users),
        _mlflow(settings, home, known, tracking, users) as process,
    ):
        _await(process, address, home / "mlflow.log")
        _report(address, home, tracking)
        process.wait()
        raise InputError(f"the server has ended; its messages are in {home / 'mlflow.log'}")


def _check_port(settings: ServerSettings) -> None:
    """Raise InputError if another process listens on the address."""
    try:
        socket.create_server((settings.host, settings.port)).close()
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None) or 0
        why = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{settings.host}:{settings.port}: {why}; give another --port or --host"
        ) from None


@contextmanager
def _databases(given: str | None, home: Path, known: Secrets) -> Iterator[tuple[str, str]]:
    if given is not None:
        check_database(given)
        yield given, given
        return
    with postgres(home / "postgres", known.database) as found:
        yield found["mlflow"], found["mlflow_auth"]


def _mlflow(
    settings: ServerSettings, home: Path, known: Secrets, tracking: str, users: str
) -> AbstractContextManager["subprocess.Popen[bytes]"]:
    """Run MLflow's server; pass secrets by files and environment, not by arguments."""
    write_private(home / "auth.ini", AUTH.format(database=users, admin=ADMIN))
    environment = {
        # Its seven processes run jobs of language models, at seconds of CPU time for their start.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        **os.environ,
        HOME_VARIABLE: str(home),
        "MLFLOW_BACKEND_STORE_URI": tracking,
        "MLFLOW_AUTH_CONFIG_PATH": str(home / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": known.admin,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": known.session,
    }
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
    command += ["--host", settings.host, "--port", str(settings.port), "--workers", "2"]
    command += ["--artifacts-destination", settings.artifacts or str(home / "artifacts")]
    return child(command, signal.SIGTERM, home / "mlflow.log", env=environment, cwd=home)


def _await(process: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            direct.open(f"{address}/health", timeout=5).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise InputError(f"MLflow's server does not start; see {log}") from None
            time.sleep(0.3)


def _report(address: str, home: Path, tracking: str) -> None:
    client = home / "client.env"
    password = Secrets.of(home).admin
    write_private(
        client,
        f"export MLFLOW_TRACKING_URI={address}\n"
        f"export MLFLOW_TRACKING_USERNAME={ADMIN}\n"
        f"export MLFLOW_TRACKING_PASSWORD={password}\n",
    )
    sys.stdout.write(
        f"MLflow: {address}, user {ADMIN}; store {redact(tracking)}\n"
        f"before a sweep: . {client}   (contains the password; only you can read it)\n"
        "Ctrl-C ends it; the same command starts it again\n"
    )
    sys.stdout.flush()


def write_private(path: Path, text: str) -> None:
    """Write a file atomically that only its owner can read."""
    before = os.umask(0o077)
    try:
        write_text(path, text)
    finally:
        os.umask(before)
