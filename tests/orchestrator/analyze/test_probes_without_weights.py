"""Probes leave out the backbones whose weights a sweep has not kept."""

import shutil

import pytest
from rich.console import Console

from orchestrator.analyze import probe_actors
from orchestrator.analyze import run as analyze
from orchestrator.analyze.catalogue import find
from orchestrator.analyze.settings import Analysing, Workers
from tests.builders.small_looks import small_sweep
from tests.builders.tiny_backbone import tiny_backbone
from trainables.models import backbones
from trainables.spec import Trial


@pytest.fixture
def looked(tmp_path, monkeypatch):
    monkeypatch.setitem(backbones.OWN_ARCHITECTURES, "tiny", tiny_backbone)
    return small_sweep(tmp_path)


def test_backbones_without_weights_are_left_out_in_one_note(looked, monkeypatch, capsys):
    [directory] = (looked.runs / "checkpoints").glob("contrastive-*")
    shutil.rmtree(directory)
    probed, context = [], looked.context
    monkeypatch.setattr(probe_actors, "run_probes", lambda jobs, *_: probed.extend(jobs) or [])
    places = (context.runs, context.data, context.weights_file, None, None)
    settings = Analysing(tuple(find(["classification"])), *places, "4", "1", Workers(1, 0.0, 1))
    assert analyze._probe(settings, Console(width=300)) == []
    methods = [Trial.from_json(job.model).method for job in probed]
    assert methods == ["untuned", "regression"]
    assert capsys.readouterr().out == (
        f"1 fine-tuned backbones are not probed: {looked.runs / 'checkpoints'} has no weights of "
        "them (were they swept with --keep none?)\n"
    )
