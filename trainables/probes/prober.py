"""A worker that probes one backbone after another, each loaded once for all its due probes."""

import traceback
from dataclasses import dataclass

from torch import nn

from trainables.compute.device import use_threads
from trainables.data.data_directory import fetch_small
from trainables.models import backbones
from trainables.probes.kinds import KINDS
from trainables.probes.probe import LoadedBackbone, ProbeContext, Probed, probe_file, write_result
from trainables.spec import Trial
from trainables.training.checkpoints import load_network


@dataclass(frozen=True)
class ProbeJob:
    """One backbone, and the probes of it that are due."""

    model: str
    """The trial, as JSON."""
    kinds: tuple[str, ...]


class Prober:
    """Probe backbones on the context's device."""

    def __init__(self, context: ProbeContext, threads: int) -> None:
        use_threads(threads)
        self._context = context
        if context.task is not None:
            fetch_small(context.task)  # what planned the probes may be another node

    def probe(self, job: ProbeJob) -> list[str]:
        """Make the probes of a backbone that are due, and write their results.

        Returns a line for each that could not be made; the others are made all the same.
        """
        probed = Probed(Trial.from_json(job.model))
        try:
            backbone = load(probed, self._context)
        except ValueError as error:
            return [f"{probed.id}: {error}"]
        failures: list[str] = []
        failed: set[str | None] = set()
        for kind in KINDS:
            if kind.name not in job.kinds or kind.needs in failed:
                continue
            try:
                path = probe_file(kind, probed, self._context)
                found = kind.run(backbone, self._context)
                write_result(path, kind, probed, kind.inputs(probed, self._context), found)
            except Exception as error:  # reported, while the other probes are made
                known = isinstance(error, ValueError)
                message = str(error) if known else traceback.format_exc(limit=-3)
                failures.append(f"{probed.id}, {kind.name}: {message}")
                failed.add(kind.name)
        return failures


def load(probed: Probed, context: ProbeContext) -> LoadedBackbone:
    """Load a backbone onto the device, in eval mode; raise ValueError where its weights fail."""
    if not probed.is_finetuned:
        network = backbones.load(probed.model.backbone, context.weights_file)
        return LoadedBackbone(probed, _ready(network, context), None)
    directory = context.runs.checkpoints(probed.model.training_id)
    network = load_network(directory, probed.model.backbone)
    return LoadedBackbone(probed, _ready(network, context), directory)


def _ready(network: nn.Module, context: ProbeContext) -> nn.Module:
    return network.to(context.device).eval()
