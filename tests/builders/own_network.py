"""A network of a user's file, and a directory of the encoding model that is exported from it."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from orchestrator.sweep.spaces import start_from
from tests.builders.exported_backbones import exported, sweep_and_export
from trainables.models.backbones import build_scaled
from trainables.spec import FROM_FILE, Backbone, Regression

CODE = """\
from torch import nn


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.maps = nn.Conv2d(3, 6, 4, stride=4)
        self.logits = nn.Linear(6 * 64, 10)

    def forward(self, images):
        if images.shape[0] > 99:  # which no graph can trace
            images = images / 2
        return self.logits(self.maps(images).relu().flatten(1))


def build():
    return Small()
"""
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def planned_network(directory: Path, code: str = CODE) -> Backbone:
    """Write the file, and plan its backbone; the file is then gone, as on another machine."""
    path = directory / "nets" / "small.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        planned = start_from(Backbone("nets/small.py:build", FROM_FILE, HALVES), "sha256:0123")
    path.unlink()
    return planned


@dataclass(frozen=True)
class OwnModel:
    """A tuned network of a user's file as an encoding model of lh V1v."""

    home: Path
    path: Path

    @property
    def models(self) -> Path:
        """The directory of models, of which it is the only one."""
        return self.path.parent

    @property
    def images(self) -> Path:
        """The subject's shards."""
        return self.home / "data" / "nsd-subj01"


def export_own_model(home: Path) -> OwnModel:
    """Tune the network without Ray, and export its model."""
    backbone, weights = planned_network(home), home / "weights.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(build_scaled(backbone).state_dict(), weights)
    tuning = Regression(epochs=1, batch_size=18)
    [trial] = sweep_and_export(home, backbone, weights, "maps", [tuning])
    return OwnModel(home, exported(home, trial))


def executed() -> list[str]:
    """Name the modules of users' files that this process has run."""
    return [name for name in sys.modules if name.startswith("own_network_")]


def forget_executed() -> None:
    """Make this process as one that has run no user's file."""
    for name in executed():
        del sys.modules[name]
