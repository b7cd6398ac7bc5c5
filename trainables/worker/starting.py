"""Start a runner in a worker, from a driver that does without torch."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from trainables.training.distributed import TrialProcessGroup
    from trainables.worker.context import RunContext
    from trainables.worker.runner import TrialRunner


def start_runner(
    context: "RunContext", device: "torch.device", process_group: "TrialProcessGroup"
) -> "TrialRunner":
    """Make the runner of a worker; torch is imported by this call, not by naming it."""
    from trainables.worker.runner import TrialRunner

    return TrialRunner(context, device, process_group)
