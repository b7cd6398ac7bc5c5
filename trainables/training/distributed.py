"""Process groups: several workers share one trial, agree on decisions and fail together.

All workers of a process group make the same calls in the same order. Only the first reports to the
queue and writes files; it broadcasts its decisions to the others.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from trainables.compute.failures import device_failure
from trainables.exceptions import Abandoned, ProcessGroupBroken, WorkerLost

Decision = TypeVar("Decision")

COLLECTIVE_TIMEOUT: Final = timedelta(days=30)
"""How long workers wait for the first one's broadcast: it may encode, or have no job, for hours.

A worker whose process has ended is noticed at once, by its closed connection.
"""


@dataclass(frozen=True)
class TrialProcessGroup:
    """The workers that share a trial, from the point of view of one of them."""

    rank: int = 0
    size: int = 1
    tensors: Any = None
    """Process group for tensors: NCCL on GPUs, gloo on CPUs."""
    words: Any = None
    """Process group for decisions: gloo, with a long timeout."""

    @property
    def is_first(self) -> bool:
        """Whether this worker reports, writes and encodes for all."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """Return this worker's slice of n rows; slices are contiguous and as even as possible."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum tensors of equal shape over all workers; raise WorkerLost if one does not answer."""
        total = tensor.detach().clone(memory_format=torch.contiguous_format)
        with _heard():
            dist.all_reduce(total, group=self.tensors)
        return total

    def decide(self, decide: Callable[[], Decision]) -> Decision:
        """Call decide on the first worker, and return its result on all workers.

        An error is raised on the first worker, and as Abandoned on the others.
        """
        if self.size == 1:
            return decide()
        if not self.is_first:
            decision, error = self._hear(None)
            if error is not None:
                raise Abandoned(error)
            return decision  # type: ignore[no-any-return]
        try:
            decided = decide()
        except Exception as failure:
            self._hear((None, _describe(failure)))
            raise
        self._hear((decided, None))
        return decided

    def _hear(self, said: tuple[Any, str | None] | None) -> tuple[Any, str | None]:
        words = [said]
        with _heard():
            dist.broadcast_object_list(words, 0, self.words, torch.device("cpu"))
        assert words[0] is not None
        return words[0]

    def together(self, do: Callable[[], Decision]) -> Decision:
        """Call a function on every worker, and continue only if it succeeded on all of them.

        The first worker raises its own error; every other failure is raised as Abandoned.
        """
        if self.size == 1:
            return do()
        mine: Exception | None = None
        try:
            done = do()
        except Exception as failure:
            mine = failure
        errors: list[str | None] = [None] * self.size
        with _heard():
            dist.all_gather_object(errors, None if mine is None else _describe(mine), self.words)
        if mine is not None and self.is_first:
            raise mine
        failures = [f"worker {rank}: {error}" for rank, error in enumerate(errors) if error]
        if failures:
            raise Abandoned("; ".join(failures)) from mine
        return done

    def check_same(self, value: object, what: str) -> None:
        """Raise Abandoned if a worker's value differs from the first worker's."""
        first = self.decide(lambda: value)
        self.together(lambda: _require_same(value, first, what))

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """Run a block in lockstep on all workers: an error of one breaks the process group."""
        try:
            yield
        except ProcessGroupBroken:
            raise
        except Exception as error:
            if self.size == 1:
                raise
            raise ProcessGroupBroken(f"worker {self.rank}: {_describe(error)}") from error


SINGLE_PROCESS: Final = TrialProcessGroup()


def join_process_group(timeout: timedelta = COLLECTIVE_TIMEOUT) -> TrialProcessGroup:
    """Join this process's torch.distributed group; return SINGLE_PROCESS if there is none."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return SINGLE_PROCESS
    words = dist.new_group(backend="gloo", timeout=timeout)
    return TrialProcessGroup(dist.get_rank(), dist.get_world_size(), dist.group.WORLD, words)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _require_same(value: object, first: object, what: str) -> None:
    if value != first:
        raise ValueError(
            f"{what}: {value!r} on this worker, {first!r} on the first; data and runs must be on "
            "storage that all workers share"
        )


@contextmanager
def _heard() -> Iterator[None]:
    """Convert torch.distributed's RuntimeError: for a lost worker to WorkerLost.

    Raises ProcessGroupBroken if memory is short in this worker.
    """
    try:
        yield
    except RuntimeError as error:
        if device_failure(error) == "out-of-memory":
            raise ProcessGroupBroken(f"out of memory between workers: {error}") from error
        raise WorkerLost(f"another worker does not answer ({error})") from error
