"""Where planned work runs: on a Ray cluster, or in this process."""

from collections.abc import Mapping
from typing import Protocol

from orchestrator.execution.cost import Costs
from orchestrator.execution.monitor import Monitor
from orchestrator.execution.plan import Plan
from orchestrator.execution.settings import RunSettings


class Executor(Protocol):
    """Runs the work that waits in a plan, and reports how it goes."""

    def connect(self) -> str:
        """Make ready; return a line that says where the work runs."""
        ...

    def run(self, plan: Plan, monitor: Monitor) -> Mapping[str, str]:
        """Run what waits; return the last line of the error of each that failed, by id."""
        ...


def executor_for(settings: RunSettings, costs: Costs) -> Executor:
    """Choose where work runs; Ray, which takes seconds to import, is imported only for its own.

    Raises InputError when this process can't run the work as asked.
    """
    if settings.local:
        from orchestrator.execution.local_executor import LocalExecutor

        return LocalExecutor(settings)
    from orchestrator.execution.ray_executor import RayExecutor

    return RayExecutor(settings, costs)
