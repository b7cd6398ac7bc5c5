"""A sweep as a user runs it: a process of its own, to wait for, to kill, and to run again."""

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads
import pytest
from safetensors.torch import save_file

from benchmarks.processes import descendants, kill
from benchmarks.small_shards import write_shards
from orchestrator.sweep.__main__ import main
from trainables.models.backbones import build
from trainables.results.score_files import SCORE_SCHEMA

SPACE = '''
"""A user's own space, outside the repository."""
from trainables.spec import *

BACKBONE = Backbone("narrow-alexnet", FROM_FILE)
ENCODING = Encoding(layers=("features.5", "classifier.5"), protocols=("nested", "paper"), n_folds=3)

def trials(rois):
    for roi in rois:
        yield Trial(Untuned(), (roi,), BACKBONE, ENCODING)
        if roi.hemisphere == "lh":
            objective = Contrastive(batch_size=16, epochs=EPOCHS, validation=0.2)
            yield Trial(objective, (roi,), BACKBONE, ENCODING)
'''


@dataclass
class Lab:
    """A folder with ingested data, weights and a search space.

    groups: trials at once, unless a sweep is told otherwise. Each group takes 8 CPU-seconds to
    start, so one is soonest done. dashboard: whether Ray has one, which takes 5 CPU-seconds.
    """

    home: Path
    groups: int = 1
    dashboard: bool = False
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @classmethod
    def make(cls, home: Path, epochs: int = 8) -> "Lab":
        write_shards(home / "data", n_images=90)
        save_file(build("narrow-alexnet").state_dict(), home / "weights.safetensors")
        (home / "space.py").write_text(SPACE.replace("EPOCHS", str(epochs)))
        return cls(home)

    def start(self, out: Path, *arguments: str) -> subprocess.Popen[str]:
        return self.start_command(out, "sweep", *self._sweep, *arguments)

    @property
    def _sweep(self) -> list[str]:
        return [
            "space.py",
            "--weights",
            "weights.safetensors",
            "--max-concurrent",
            f"{self.groups}",
        ]

    @property
    def _quick(self) -> list[str]:
        return [] if self.dashboard else ["--no-dashboard"]

    def start_command(self, out: Path, name: str, *arguments: str) -> subprocess.Popen[str]:
        """Start one of the program's commands on the lab's data."""
        log = out.parent / f"{out.name}.log"
        return self._start(name, self._further(out, arguments), f"sqlite:///{out}.db", log)

    def _further(self, out: Path, arguments: Sequence[str]) -> list[str]:
        return [*arguments, *self._quick, "--data", "data", "--out", str(out)]

    def start_at(
        self, out: str, data: str, tracking_uri: str, *further: str
    ) -> subprocess.Popen[str]:
        """Start the sweep on directories and a store that are elsewhere."""
        arguments = [*self._sweep, *self._quick, *further, "--data", data, "--out", out]
        return self._start("sweep", arguments, tracking_uri, self._log(out))

    def log_of(self, out: str) -> str:
        """Read what a sweep that was started elsewhere has said."""
        return self._log(out).read_text()

    def _log(self, out: str) -> Path:
        return self.home / f"{out.rpartition('/')[2]}.log"

    def _start(
        self, name: str, arguments: Sequence[str], tracking_uri: str, log_file: Path
    ) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", f"orchestrator.{name}", *arguments]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        environment["MLFLOW_TRACKING_URI"] = tracking_uri
        with log_file.open("a") as log:
            process = subprocess.Popen(
                command, cwd=self.home, env=environment, stdout=log, stderr=log, text=True
            )
        self.started.append(process)
        return process

    def end(self) -> None:
        """End what is still running, as after a failed test."""
        for process in self.started:
            if process.poll() is None:
                kill({process.pid, *descendants(process.pid)})

    def finish(self, out: Path, *arguments: str, timeout: float = 400) -> str:
        """Run to the end; return what was printed, after asserting that nothing failed."""
        process = self.start(out, *arguments)
        code = process.wait(timeout)
        log = (out.parent / f"{out.name}.log").read_text()
        assert code == 0, log
        return log

    def finish_here(self, out: Path) -> str:
        """Run to the end without Ray, in this process, which has imported torch already.

        Return what was printed.
        """
        arguments = [*self._sweep, *self._further(out, ("--local",))]
        with pytest.MonkeyPatch.context() as patch, chdir(self.home):
            patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{out}.db")
            with redirect_stdout(io.StringIO()) as printed:
                assert main(arguments) == 0
        return printed.getvalue()


def scores_of(out: Path) -> pa.Table:
    """Read all scores of a sweep, sorted, without the name of the host."""
    table = pads.dataset(out / "scores", schema=SCORE_SCHEMA, format="parquet").to_table()
    keys = [(name, "ascending") for name in ("trial_id", "hemisphere", "roi", "protocol", "vertex")]
    return table.sort_by(keys).drop_columns(["host"])
