"""Start and stop MLflow's server as a user does, on loopback."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import alive, descendants, kill, wait_for
from orchestrator.cli.errors import InputError
from orchestrator.mlflow_server.postgres import binaries, free_port


def missing() -> str | None:
    """Return what this machine lacks to serve MLflow on PostgreSQL, or None."""
    try:
        binaries()
    except InputError as error:
        return str(error)
    return None


@dataclass
class Server:
    """A server with its files in a directory, running or stopped."""

    home: Path
    port: int
    artifacts: str | None = None
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait until it serves."""
        command = [sys.executable, "-m", "orchestrator.mlflow_server"]
        command += ["--home", str(self.home), "--port", str(self.port)]
        command += ["--artifacts", self.artifacts] if self.artifacts else []
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        with self.log.open("a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                command,
                env=kept,
                stdout=log,
                stderr=log,
                text=True,
                cwd=self.home.parent,
                encoding="utf-8",
            )
        said = self.said.count("Ctrl-C ends it")
        wait_for(lambda: self._answers(said), "MLflow's server", timeout=150)

    def _answers(self, said: int) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said
        return self.said.count("Ctrl-C ends it") > said

    def stop(self, how: signal.Signals = signal.SIGINT) -> set[int]:
        """Stop it, by default as Ctrl-C does; return its processes that are still alive."""
        if self.process is None or self.process.poll() is not None:
            return set()
        family = set(descendants(self.process.pid))
        self.process.send_signal(how)
        try:
            self.process.wait(60)
            wait_for(lambda: not alive(family), "its processes to end", timeout=30)
        finally:
            left = alive(family)
            kill({self.process.pid, *left} if left else set())
        return left

    @property
    def log(self) -> Path:
        """The file that the server writes to."""
        return self.home.parent / f"{self.home.name}.log"

    @property
    def said(self) -> str:
        """The server's output so far."""
        return self.log.read_text(encoding="utf-8")

    @property
    def client(self) -> dict[str, str]:
        """The environment variables of its client.env."""
        lines = (self.home / "client.env").read_text(encoding="utf-8").splitlines()
        return dict(line.removeprefix("export ").split("=", 1) for line in lines)


def let_in(home: Path) -> None:
    """Give PostgreSQL's own user access to a temporary directory of pytest."""
    for folder in (home, *home.parents):
        if folder == Path(tempfile.gettempdir()):
            return
        folder.chmod(folder.stat().st_mode | stat.S_IXOTH)


@contextmanager
def served(home: Path, artifacts: str | None = None) -> Iterator[Server]:
    """Run a server for the duration of the context."""
    let_in(home.parent)
    server = Server(home, free_port(), artifacts)
    try:
        server.start()
        yield server
    finally:
        server.stop()
