"""The sweep's command in a directory with data, a space and weights, and its refusals."""

from functools import partial
from pathlib import Path

import pytest
from safetensors.torch import save_file

from benchmarks.small_shards import write_shards
from orchestrator.sweep import __main__ as sweep
from tests.builders.tiny_backbone import tiny_backbone
from trainables.models import backbones

SPACE = """\
from trainables.spec import FROM_FILE, Contrastive, Encoding, Trial, Backbone

ENCODING = Encoding(layers=("1",))

def trials(rois):
    for roi in rois:
        yield Trial(Contrastive(epochs=2), (roi,), Backbone("tiny", FROM_FILE), ENCODING)
"""


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A working directory with data/, space.py and weights.safetensors."""
    monkeypatch.setitem(backbones.OWN_ARCHITECTURES, "tiny", partial(tiny_backbone, 64))
    write_shards(tmp_path / "data")
    (tmp_path / "space.py").write_text(SPACE)
    save_file(tiny_backbone(64).state_dict(), tmp_path / "weights.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(directory: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(directory.rglob("*"))}


def command(*more: str, space: str = "space.py", weights: str = "weights.safetensors") -> list[str]:
    return [space, "--data", "data", "--out", "runs", "--weights", weights, *more]


def refusal(arguments: list[str], home: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must be refused; return its one line."""
    before = contents(home)
    assert sweep.main(arguments) == 2
    assert contents(home) == before
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert shown.count("\n") == 1, shown
    return shown
