"""Several workers at a trial, through the sweep: the scores of one worker, also after a death."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from benchmarks.processes import descendants, kill, wait_for
from benchmarks.small_shards import write_shards
from tests.builders.sweep_process import Lab, scores_of
from trainables.models.backbones import build

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

SPACE = '''
"""A pooled trial and one of a single ROI, with AlexNet's dropout."""
from trainables.spec import *

BACKBONE = Backbone("narrow-alexnet", FROM_FILE)
ENCODING = Encoding(layers=("features.5", "classifier.5"), protocols=("nested", "paper"), n_folds=3)

def trials(rois):
    alike = tuple(roi for roi in rois if (roi.hemisphere, roi.name) == ("lh", "V1v"))
    settings = dict(learning_rate=3e-5, batch_size=27, epochs=EPOCHS, validation=0.2)
    pooled = Pooled(hidden_dim=64, order="interleaved", **settings)
    yield Trial(pooled, alike, BACKBONE, ENCODING)
    yield Trial(Regression(**settings), alike[:1], BACKBONE, ENCODING)
    for roi in alike:
        yield Trial(Untuned(), (roi,), BACKBONE, ENCODING)
'''


def write_distinct_weights(path: Path) -> None:
    """Save weights that keep images apart from layer to layer.

    With torch's initial ones all images have nearly the same logits, which BatchNorm enlarges:
    then rounding alone, as of weights that differ by 1e-7, changes the scores of one worker too.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of the biases too, which are drawn as it is built
        network = build("narrow-alexnet")
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
    save_file(network.state_dict(), path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    home = tmp_path_factory.mktemp("lab")
    write_shards(home / "data", ("subj01", "subj02"), n_images=90)
    write_distinct_weights(home / "weights.safetensors")
    (home / "space.py").write_text(SPACE.replace("EPOCHS", "3"))
    lab = Lab(home)
    yield lab
    lab.end()


@pytest.fixture(scope="module")
def alone(lab: Lab) -> Path:
    """The scores of one worker per trial."""
    lab.finish_here(lab.home / "alone")
    return lab.home / "alone"


def r_of(out: Path, method: str) -> NDArray[np.float64]:
    """Read r of a method's scores: of each subject, protocol and vertex."""
    table = scores_of(out)
    keys = [(name, "ascending") for name in ("subject", "protocol", "vertex")]
    return table.filter(pc.equal(table["method"], method)).sort_by(keys)["r"].to_numpy()


def assert_same_scores(first: Path, second: Path) -> None:
    assert len(r_of(first, "pooled-const")) == 2 * 2 * 8
    for method in ("untuned", "regression", "pooled-const"):
        one, two = r_of(first, method), r_of(second, method)
        assert np.isfinite(one).all()
        # Rounding grows in training, at other vertices on other machines: most hold to 1e-4.
        assert np.abs(two - one).mean() < 1e-4, method
        np.testing.assert_allclose(two, one, rtol=0, atol=5e-4, err_msg=method)


def test_finetuning_changes_the_scores_by_far_more_than_workers_may(alone: Path) -> None:
    changes = np.abs(r_of(alone, "pooled-const") - r_of(alone, "untuned"))
    assert changes.mean() > 1e-3  # 10 times what workers may change on average


def test_two_workers_train_to_the_scores_of_one_though_one_dies(lab: Lab, alone: Path) -> None:
    out = lab.home / "killed"
    process = lab.start(out, "--workers-per-trial", "2", "--keep", "every")
    wait_for(lambda: any(out.glob("checkpoints/pooled*/last.json")), "a checkpoint")
    workers = {pid for pid, title in descendants(process.pid).items() if "RayTrainWorker" in title}
    assert len(workers) == 2
    kill({max(workers)})
    assert process.wait(400) == 0, (lab.home / "killed.log").read_text()
    assert_same_scores(alone, out)
