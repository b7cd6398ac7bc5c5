"""A private PostgreSQL: files in one directory, on loopback only, ended with its command."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from orchestrator.cli.errors import InputError
from orchestrator.mlflow_server.supervisor import child
from trainables.storage.redaction import redact

USER: Final = "mlflow"
DATABASES: Final = ("mlflow", "mlflow_auth")
"""The databases of the tracking store and of MLflow's users."""
START_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 5


def binaries() -> Path:
    """Find the directory of PostgreSQL's server programs; raise InputError if there is none."""
    on_path = shutil.which("postgres")
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda one: int(one.parts[-3])
    )
    found = [*([Path(on_path)] if on_path else []), *reversed(debian)]
    if not found:
        raise InputError(
            "postgres: not installed; install PostgreSQL's server (Debian: apt install postgresql) "
            "or give the address of a running one: --database postgresql://USER@HOST/NAME"
        )
    return found[0].parent


def free_port() -> int:
    """Find a TCP port on loopback that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def postgres(home: Path, password: str) -> Iterator[dict[str, str]]:
    """Run PostgreSQL within the block; yield the addresses of its databases, with password.

    home: the directory of its files, created if absent. It listens on loopback only and requires
    the password. PostgreSQL refuses to run as root; its user ``postgres`` then owns the files.
    """
    programs, owner = binaries(), _owner()
    if not (home / "PG_VERSION").exists():
        _initialise(home, programs, owner, password)
    port = free_port()
    command = [str(programs / "postgres"), "-D", str(home), "-p", str(port)]
    command += ["-h", "127.0.0.1", "-k", ""]
    log = home.parent / "postgres.log"
    # SIGINT does not wait for clients to disconnect.
    with child(command, signal.SIGINT, log, cwd="/", **owner) as process:
        _await(process, port, password, log)
        yield {name: _address(port, password, name) for name in DATABASES}


def _owner() -> dict[str, Any]:
    """Return the user that PostgreSQL runs as, as arguments of subprocess."""
    return {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}


def _initialise(home: Path, programs: Path, owner: dict[str, Any], password: str) -> None:
    """Create the database files in a temporary directory and rename it, so they are complete."""
    for unfinished in home.parent.glob(f".{home.name}.*"):
        shutil.rmtree(unfinished)
    beside = home.with_name(f".{home.name}.{os.getpid()}")
    beside.mkdir(mode=0o700, parents=True)
    with tempfile.NamedTemporaryFile("w", suffix=".pw", encoding="utf-8") as secret:
        secret.write(password)
        secret.flush()
        if owner:
            shutil.chown(beside, "postgres", "postgres")
            shutil.chown(secret.name, "postgres", "postgres")
        command = [str(programs / "initdb"), "-D", str(beside), "-U", USER, "-E", "UTF8"]
        command += ["--locale=C", "--auth=scram-sha-256", f"--pwfile={secret.name}"]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd="/", check=False, **owner
        )
    if done.returncode:
        shutil.rmtree(beside)
        reach = "; the user postgres needs access to --home: choose one whose parents it can enter"
        raise InputError(
            f"{home}: PostgreSQL could not be set up: {done.stderr.strip()}{reach if owner else ''}"
        )
    beside.rename(home)


def _address(port: int, password: str, database: str) -> str:
    return f"postgresql://{USER}:{quote(password)}@127.0.0.1:{port}/{database}"


def _await(process: "subprocess.Popen[bytes]", port: int, password: str, log: Path) -> None:
    """Wait until PostgreSQL answers, and create missing databases."""
    import psycopg

    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with psycopg.connect(_address(port, password, "postgres"), autocommit=True) as one:
                there = {str(row[0]) for row in one.execute("SELECT datname FROM pg_database")}
                for name in sorted(set(DATABASES) - there):
                    one.execute(f'CREATE DATABASE "{name}"'.encode())
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise InputError(f"PostgreSQL does not start; its messages are in {log}") from None
            time.sleep(0.2)


def check_database(address: str) -> None:
    """Check within seconds that a running PostgreSQL lets this user in.

    Raises InputError with the reason and the cure; MLflow would try for minutes.
    """
    import psycopg

    scheme, _, rest = address.partition("://")
    if not scheme.startswith("postgresql"):
        raise InputError(redact(f"--database {address}: expected postgresql://USER@HOST/NAME"))
    try:
        psycopg.connect(f"postgresql://{rest}", connect_timeout=CONNECT_SECONDS).close()
    except psycopg.Error as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            redact(f"--database {address}: {why}; start it, or check the address and the password")
        ) from None
