"""Worker groups of several workers, which Ray Train starts, and restarts together."""

from typing import TYPE_CHECKING, Any

from ray import cloudpickle as pickle

from orchestrator.cli.environment import WORKER, set_environment
from orchestrator.cluster.capacity import WorkerGroupSize
from orchestrator.cluster.process_logs import log_to_stderr
from orchestrator.cluster.worker_loop import MakeRunner, serve

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer


class SeveralWorkersGroup:
    """The handle of a group of several workers."""

    def __init__(self, trainer: "TorchTrainer", name: str) -> None:
        self.name = name
        self._trainer = trainer

    @classmethod
    def make(
        cls,
        queue: Any,
        make_runner: MakeRunner,
        size: WorkerGroupSize,
        name: str,
        restarts: int,
        scratch: str,
    ) -> "SeveralWorkersGroup":
        """Describe a group. scratch: directory of Ray Train's files."""
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        from orchestrator.cluster.group_backend import GroupConfig

        resources = {"CPU": size.cpus} | ({"GPU": size.gpus} if size.gpus else {})
        # Pickled here, so that the group's controller does not import the workers' code.
        pickled: bytes = pickle.dumps(make_runner)  # type: ignore[no-untyped-call]
        trainer = TorchTrainer(
            serve_with_others,
            torch_config=GroupConfig(),
            train_loop_config={"queue": queue, "group": name, "make_runner": pickled},
            scaling_config=ScalingConfig(
                num_workers=size.workers, use_gpu=size.gpus > 0, resources_per_worker=resources
            ),
            run_config=RunConfig(
                name=name,
                storage_path=scratch,
                failure_config=FailureConfig(max_failures=restarts),
            ),
        )
        return cls(trainer, name)

    def run(self) -> None:
        """Start the workers and wait for their end; raise an error if the group is lost."""
        self._trainer.fit()

    def end(self) -> None:
        """Do nothing: the workers end when the queue has closed, or is gone."""


def serve_with_others(config: dict[str, Any]) -> None:
    """Serve the jobs of a queue on one worker of a group of several."""
    from ray.train.torch import get_device

    from trainables.training.distributed import join_process_group

    set_environment(WORKER)
    log_to_stderr()
    process_group = join_process_group()
    make_runner: MakeRunner = pickle.loads(config["make_runner"])
    serve(config["queue"], config["group"], make_runner(get_device(), process_group), process_group)
