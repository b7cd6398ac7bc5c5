"""Executors of planned work: on a Ray cluster, or in this process.

An executor is made only if there is work: Ray and torch take seconds to import.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from orchestrator.execution.cost import Costs
from orchestrator.execution.monitor import Monitor
from orchestrator.execution.plan import Plan
from orchestrator.execution.settings import RunSettings


class Executor(Protocol):
    """Runs the waiting work of a plan and reports its progress."""

    def connect(self, say: Callable[[str], None]) -> None:
        """Prepare to run; say where the work runs, if that is known."""
        ...

    def run(self, plan: Plan, monitor: Monitor) -> Mapping[str, str]:
        """Run the waiting work; return the last line of each failed trial's error, by id."""
        ...


def check_device(settings: RunSettings) -> None:
    """Raise InputError if this process is to use a GPU and has none."""
    if settings.local and settings.resources.gpus:
        from orchestrator.execution.local_executor import LocalExecutor

        LocalExecutor(settings)


def executor_for(settings: RunSettings, costs: Costs) -> Executor:
    """Choose the executor: Ray's, or that of this process."""
    if settings.local:
        from orchestrator.execution.local_executor import LocalExecutor

        return LocalExecutor(settings)
    from orchestrator.execution.ray_executor import RayExecutor

    return RayExecutor(settings, costs)
