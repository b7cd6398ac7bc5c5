"""NVIDIA's multi-process service (MPS), for trials that share a GPU of this machine.

Without it, processes on one GPU take turns; with it, their kernels run at the same time.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from orchestrator.cli.environment import environment_within
from orchestrator.execution.settings import RunSettings

CONTROL: Final = "nvidia-cuda-mps-control"
PIPES: Final = "CUDA_MPS_PIPE_DIRECTORY"
LOGS: Final = "CUDA_MPS_LOG_DIRECTORY"
SYSTEM_PIPES: Final = Path("/tmp/nvidia-mps")
"""Directory of the pipes of a service that was started without PIPES."""
PLACE: Final = "/tmp"
"""Parent of the service's directory: a batch system's TMPDIR is too long for paths of sockets."""
ANSWER_SECONDS: Final = 30.0


@contextmanager
def multi_process_service(settings: RunSettings, say: Callable[[str], None]) -> Iterator[None]:
    """Run MPS within the block if trials are to share this machine's GPUs and nothing else runs it.

    Must be entered before Ray starts, whose workers inherit the variables. say: prints a note where
    MPS can't be started or ended; trials then share GPUs by time slices.
    """
    control = shutil.which(CONTROL)
    with ExitStack() as stack:
        if control and _shares_gpus(settings) and not _is_running() and not _has_ray():
            try:
                variables = _start(control)
            except (OSError, subprocess.SubprocessError) as error:
                say(f"{CONTROL} -d: {error}; trials share a GPU by time slices")
            else:
                stack.callback(_end, control, variables, say)
                stack.enter_context(environment_within(variables))
        yield


def _shares_gpus(settings: RunSettings) -> bool:
    """Return whether several trials are asked for on each GPU of a local Ray."""
    asked = settings.resources
    if settings.local or settings.on_cluster:
        return False
    return asked.share_gpus or 0 < (asked.gpus or 0) <= 0.5


def _is_running() -> bool:
    return bool(os.environ.get(PIPES)) or (SYSTEM_PIPES / "control").exists()


def _has_ray() -> bool:
    """Return whether this process has a Ray already, whose workers would not find the service."""
    import ray

    return bool(ray.is_initialized())


def _start(control: str) -> Mapping[str, str]:
    """Start the service; return the variables by which processes find it.

    Raises OSError or SubprocessError if it does not start.
    """
    _check_numbering(os.environ.get("CUDA_VISIBLE_DEVICES"))
    home = Path(tempfile.mkdtemp(prefix="cortex-mps-", dir=PLACE))
    variables = {PIPES: str(home / "pipes"), LOGS: str(home / "log")}
    try:
        for directory in variables.values():
            Path(directory).mkdir()
        # A file: the daemon keeps its output open, so that a pipe would not end.
        with (home / "output").open("wb") as output:
            done = subprocess.run(
                [control, "-d"], env={**os.environ, **variables}, check=False,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                timeout=ANSWER_SECONDS, start_new_session=True,
            )  # fmt: skip
        if done.returncode:
            said = (home / "output").read_text(encoding="utf-8", errors="replace").split("\n")[0]
            raise OSError(f"exit code {done.returncode}" + (f", {said}" if said else ""))
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    return variables


def _check_numbering(visible: str | None) -> None:
    """Raise OSError where the service would number GPUs otherwise than Ray does.

    Its clients count the GPUs that it sees, from 0; Ray hands out the numbers that it was given.
    """
    names = visible.split(",") if visible else []
    if names != [str(number) for number in range(len(names))]:
        raise OSError(f"CUDA_VISIBLE_DEVICES={visible} is not 0,1,…, as its clients count GPUs")


def _end(control: str, variables: Mapping[str, str], say: Callable[[str], None]) -> None:
    """End the service and remove its files; keep them, with a note, if it does not end."""
    try:
        subprocess.run(
            [control], input=b"quit\n", env={**os.environ, **variables}, check=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=ANSWER_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        say(f"MPS has not ended: echo quit | {PIPES}={variables[PIPES]} {CONTROL}")
    else:
        shutil.rmtree(Path(variables[PIPES]).parent, ignore_errors=True)
