"""A sweep that is run from Python, and resumed by the same call."""

from functools import partial

import pytest
import torch
from safetensors.torch import save_file

from benchmarks.small_shards import write_shards
from orchestrator.api import scores, sweep
from tests.builders.tiny_backbone import tiny_backbone
from trainables.models import backbones

SPACE = """\
from trainables.spec import FROM_FILE, Backbone, Contrastive, Encoding, Trial

ENCODING = Encoding(layers=("1",), n_folds=3)

def trials(rois):
    for roi in rois:
        yield Trial(Contrastive(batch_size=16, epochs=1), (roi,), Backbone("tiny", FROM_FILE),
                    ENCODING)
"""


def test_outcomes_are_returned_and_nothing_is_computed_twice(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(backbones.OWN_ARCHITECTURES, "tiny", partial(tiny_backbone, 64))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    write_shards(tmp_path / "data", n_images=60)
    (tmp_path / "space.py").write_text(SPACE)
    save_file(tiny_backbone(64).state_dict(), tmp_path / "weights.safetensors")
    n_threads = torch.get_num_threads()
    places = {"data": "data", "out": "runs", "weights": "weights.safetensors", "local": True}
    with pytest.raises(ValueError, match="V9"):
        sweep("space.py", **places, rois=["V9"])
    chosen = {"subjects": [1], "hemispheres": ["lh"], "rois": ["V1v"], "seeds": 2}
    first = sweep("space.py", **places, **chosen)
    again = sweep("space.py", **places, **chosen)
    torch.set_num_threads(n_threads)
    assert [one.status for one in first] == ["finished", "finished"]
    assert {one.trial.rois[0].name for one in first} == {"V1v"}
    assert [one.started for one in again] == [one.started for one in first]
    assert sorted(scores("runs", data="data")["seed"]) == [0, 1]
