"""The device of a worker that probes: the one that Ray has assigned, whatever GPUs there are."""

from types import SimpleNamespace

import pytest
import torch

from orchestrator.analyze.probe_actors import ProbeWorker
from orchestrator.cluster import assigned_device
from trainables.data.data_directory import DataDirectory
from trainables.probes import prober
from trainables.probes.probe import ProbeContext
from trainables.probes.prober import ProbeJob
from trainables.results.run_directory import RunDirectory
from trainables.spec import Backbone, Roi, Trial, Untuned


@pytest.mark.parametrize(("gpus", "device"), [([], "cpu"), (["2"], "cuda:1")])
def test_a_probe_runs_on_the_assigned_device(tmp_path, monkeypatch, gpus, device) -> None:
    current: list[torch.device] = []
    loaded: list[torch.device] = []
    assigned = SimpleNamespace(get_accelerator_ids=lambda: {"GPU": gpus})
    monkeypatch.setattr(assigned_device.ray, "get_runtime_context", lambda: assigned)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)

    def load(probed: object, context: ProbeContext) -> None:
        loaded.append(context.device)
        raise ValueError("not loaded")

    monkeypatch.setattr(prober, "load", load)
    cpu = torch.device("cpu")
    runs, data = RunDirectory(tmp_path / "runs"), DataDirectory(tmp_path / "data")
    trial = Trial(Untuned(), (Roi("nsd", "subj01", "lh", "V1v", 8, "0123abcd"),), Backbone())
    worker = ProbeWorker(ProbeContext(runs, data, cpu), torch.get_num_threads())
    assert len(worker.probe(ProbeJob(trial.to_json(), ("classification",)))) == 1
    assert loaded == [torch.device(device)]
    assert current == [torch.device(device)] * len(gpus)
