"""Several workers at one trial: who they are, how they agree, and how they fail together.

All workers of a process group make the same calls in the same order. The first one alone talks to
the queue and writes files; the others learn its decisions from it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from trainables.exceptions import Abandoned, ProcessGroupBroken, WorkerLost

Decision = TypeVar("Decision")

COLLECTIVE_TIMEOUT: Final = timedelta(days=30)
"""How long workers wait for the first one's word: it may encode, or have no job, for hours.

One whose process is gone is noticed at once, by its closed connection.
"""


@dataclass(frozen=True)
class TrialProcessGroup:
    """The workers that share a trial, as one of them sees them."""

    rank: int = 0
    size: int = 1
    tensors: Any = None
    """Process group for tensors: NCCL on GPUs, gloo on CPUs."""
    words: Any = None
    """Process group for decisions: gloo, with a long timeout."""

    @property
    def is_first(self) -> bool:
        """Tell whether this worker reports, writes and encodes for all."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """Say which of n rows are this worker's: contiguous, and as even as can be."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum of all workers' tensors of one shape; raise WorkerLost without them."""
        total = tensor.detach().clone(memory_format=torch.contiguous_format)
        with _heard():
            dist.all_reduce(total, group=self.tensors)
        return total

    def decide(self, decide: Callable[[], Decision]) -> Decision:
        """Have the first worker decide, and all know its answer.

        An error of the first worker is raised there, and Abandoned by the others.
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
        """Do what every worker does for itself, and go on only when all of them could.

        The first worker raises its own error; otherwise a failure is raised as Abandoned.
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
        """Raise Abandoned when a worker's value is not the first one's."""
        first = self.decide(lambda: value)
        self.together(lambda: _require_same(value, first, what))

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """Run what workers do in lockstep: an error of one alone breaks the process group."""
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
    """Join this process's torch.distributed group; SINGLE_PROCESS where there is none."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return SINGLE_PROCESS
    words = dist.new_group(backend="gloo", timeout=timeout)
    return TrialProcessGroup(dist.get_rank(), dist.get_world_size(), dist.group.WORLD, words)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _require_same(value: object, first: object, what: str) -> None:
    if value != first:
        raise ValueError(
            f"{what}: {value!r} here, {first!r} at the first worker; data and runs must lie on "
            "storage that all workers share"
        )


@contextmanager
def _heard() -> Iterator[None]:
    """Tell a lost worker from other errors: torch.distributed raises RuntimeError for it."""
    try:
        yield
    except RuntimeError as error:
        raise WorkerLost(f"another worker does not answer ({error})") from error
