"""Executors of planned work: on a Ray cluster, or in this process."""

from collections.abc import Mapping
from typing import Protocol

from orchestrator.execution.cost import Costs
from orchestrator.execution.monitor import Monitor
from orchestrator.execution.plan import Plan
from orchestrator.execution.settings import RunSettings


class Executor(Protocol):
    """Runs the waiting work of a plan and reports its progress."""

    def connect(self) -> str:
        """Prepare to run; return a line that says where the work runs."""
        ...

    def run(self, plan: Plan, monitor: Monitor) -> Mapping[str, str]:
        """Run the waiting work; return the last line of each failed trial's error, by id."""
        ...


def executor_for(settings: RunSettings, costs: Costs) -> Executor:
    """Choose the executor; Ray, which takes seconds to import, is imported only if it is used.

    Raises InputError if this process can't run the work as requested.
    """
    if settings.local:
        from orchestrator.execution.local_executor import LocalExecutor

        return LocalExecutor(settings)
    from orchestrator.execution.ray_executor import RayExecutor

    return RayExecutor(settings, costs)
