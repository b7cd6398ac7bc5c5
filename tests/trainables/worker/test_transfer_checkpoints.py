"""Checkpoints that an evaluation cannot use are named with the cure."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.builders.listeners import Quiet
from tests.builders.transfer_shards import (
    TransferLab,
)
from trainables.spec import Trial
from trainables.spec.evaluation import Evaluation
from trainables.storage.atomic import hash_file
from trainables.training.checkpoint_notes import LAST

pytestmark = pytest.mark.usefixtures("narrow_without_ray")


def copied(lab: TransferLab, quick: Trial, home: Path) -> tuple[TransferLab, Path, Evaluation]:
    """Copy the checkpoint of a model into a lab of its own, to be damaged."""
    shutil.copytree(lab.home / "data", home / "data")
    other = TransferLab.open(home)
    directory = other.runs / "checkpoints" / quick.training_id
    shutil.copytree(lab.runs / "checkpoints" / quick.training_id, directory)
    return other, directory, Evaluation(quick, (lab.roi(2),))


def test_a_missing_checkpoint_is_named_with_its_cure(lab, quick, tmp_path) -> None:
    other, directory, evaluation = copied(lab, quick, tmp_path)
    shutil.rmtree(directory)
    with pytest.raises(
        ValueError, match=r"last\.json: no usable checkpoint \(no such file\); remove"
    ):
        other.run(evaluation)


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_checkpoint_is_named_with_its_cure(lab, quick, tmp_path, content) -> None:
    other, directory, evaluation = copied(lab, quick, tmp_path)
    (directory / LAST).write_text(content)
    with pytest.raises(ValueError, match=r"last\.json: no usable checkpoint .*run the sweep again"):
        other.run(evaluation)


def test_damaged_weights_are_named_with_their_cure(lab, quick, tmp_path) -> None:
    other, directory, evaluation = copied(lab, quick, tmp_path)
    [weights] = directory.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"no usable checkpoint .*run the sweep again"):
        other.run(evaluation)


def save_as_noted(weights: Path, state: dict[str, torch.Tensor]) -> None:
    """Save other weights as a training would have: its note knows their content."""
    save_file(state, weights)
    note = json.loads((weights.parent / LAST).read_text())
    note["sha256"][weights.name] = hash_file(weights)
    (weights.parent / LAST).write_text(json.dumps(note))


def test_a_checkpoint_without_a_backbone_or_of_another_one_is_refused(lab, quick, tmp_path) -> None:
    other, directory, evaluation = copied(lab, quick, tmp_path)
    [weights] = directory.glob("*.safetensors")
    state = load_file(weights)
    save_as_noted(weights, {"readout.weight": torch.zeros(2)})
    with pytest.raises(ValueError, match="holds no weights of a backbone"):
        other.run(evaluation)
    save_as_noted(weights, {**state, "backbone.1.bias": torch.zeros(9)})
    with pytest.raises(ValueError, match=r"its backbone does not fit narrow: .*'1\.bias'"):
        other.run(evaluation)


def test_a_training_that_was_stopped_is_no_model(lab, quick, tmp_path) -> None:
    other, directory, evaluation = copied(lab, quick, tmp_path)
    note = (directory / LAST).read_text()
    (directory / LAST).write_text(note.replace('"optimizer": null', '"optimizer": "x"'))
    with pytest.raises(ValueError, match="its training is not complete"):
        other.run(evaluation)


def test_a_runner_serves_on_after_an_evaluation_that_failed(lab, quick) -> None:
    doomed = replace(quick, seed=99)
    with pytest.raises(ValueError, match="no usable checkpoint"):
        lab.run(Evaluation(doomed, (lab.roi(2),)))
    assert lab.runner.run(Evaluation(quick, (lab.roi(3),)), Quiet()).status == "finished"
