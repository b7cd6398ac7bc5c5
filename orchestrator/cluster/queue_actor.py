"""The queue of trials as a Ray actor."""

import secrets
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.cluster.process_logs import log_to_stderr
from orchestrator.cluster.trial_queue import TrialQueue


class QueueActor(TrialQueue):
    """The queue in a separate process."""

    def __init__(self, retries: int, n_worker_groups: int) -> None:
        log_to_stderr()
        super().__init__(retries, n_worker_groups)


def start_queue(retries: int, n_worker_groups: int) -> Any:
    """Start the queue's actor on this process's node, under a name that the dashboard shows.

    On another node, it would be lost if that node failed.
    """
    here = ray.get_runtime_context().get_node_id()
    named = ray.remote(QueueActor).options(
        num_cpus=0,
        name=f"trial-queue-{secrets.token_hex(3)}",
        scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=here, soft=False),
    )
    return named.remote(retries, n_worker_groups)
