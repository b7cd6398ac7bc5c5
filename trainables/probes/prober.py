"""A worker that looks into trunks, one after another, each loaded once for all probes due."""

import traceback
from dataclasses import dataclass, replace

import torch
from torch import nn

from trainables.compute.device import use_threads
from trainables.models import backbones
from trainables.probes.kinds import KINDS
from trainables.probes.probe import LoadedTrunk, Probed, Workbench, probe_file, write_result
from trainables.spec import Trial
from trainables.training.checkpoints import load_network


@dataclass(frozen=True)
class ProbeJob:
    """One trunk, and the probes of it that are due."""

    model: str
    """The trial, as JSON."""
    kinds: tuple[str, ...]


class Prober:
    """Probe trunks on this process' device."""

    def __init__(self, bench: Workbench, threads: int, device: torch.device | None = None) -> None:
        use_threads(threads)
        found = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._bench = replace(bench, device=device or found)

    def probe(self, job: ProbeJob) -> list[str]:
        """Make the probes of a trunk that are due, and write their results.

        Returns a line for each that could not be made; the others are made all the same.
        """
        probed = Probed(Trial.from_json(job.model))
        try:
            trunk = load(probed, self._bench)
        except ValueError as error:
            return [f"{probed.id}: {error}"]
        failures: list[str] = []
        failed: set[str | None] = set()
        for kind in KINDS:
            if kind.name not in job.kinds or kind.needs in failed:
                continue
            try:
                path = probe_file(kind, probed, self._bench)
                found = kind.run(trunk, self._bench)
                write_result(path, kind, probed, kind.inputs(probed, self._bench), found)
            except Exception as error:  # told, while the other probes are made
                known = isinstance(error, ValueError)
                told = str(error) if known else traceback.format_exc(limit=-3)
                failures.append(f"{probed.id}, {kind.name}: {told}")
                failed.add(kind.name)
        return failures


def load(probed: Probed, bench: Workbench) -> LoadedTrunk:
    """Load a trunk onto the device, in eval mode; raise ValueError where its weights fail."""
    if not probed.is_tuned:
        network = backbones.load(probed.model.trunk, bench.weights_file)
        return LoadedTrunk(probed, _ready(network, bench), None)
    directory = bench.runs / "checkpoints" / probed.model.training_id
    network = load_network(directory, probed.model.trunk.architecture)
    return LoadedTrunk(probed, _ready(network, bench), directory)


def _ready(network: nn.Module, bench: Workbench) -> nn.Module:
    return network.to(bench.device).eval()
