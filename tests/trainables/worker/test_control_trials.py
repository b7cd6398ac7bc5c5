"""Controls run as trials, on a subject whose responses are worth tuning on."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.small_shards import write_shards
from tests.builders.planted_gain import write_planted_gain
from tests.builders.tiny_backbone import tiny_backbone
from tests.builders.tiny_runs import CPU, Listener
from trainables.data import loading
from trainables.data.data_directory import DataDirectory
from trainables.data.rows import read_rows
from trainables.models import backbones
from trainables.models.weights_name import weights_name
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_scores
from trainables.spec import Backbone, Contrastive, Encoding, Roi, SelfSupervised, Trial, Untuned
from trainables.worker.context import RunContext
from trainables.worker.runner import TrialRunner

CONTRASTIVE = Contrastive(
    learning_rate=3e-3, batch_size=48, epochs=20, hidden_ratio=4.0, embedding_ratio=1.0
)
IMAGES_ALONE = SelfSupervised(
    learning_rate=3e-3, batch_size=48, epochs=3, hidden_dim=32, embedding_dim=16
)


@dataclass
class Lab:
    """A subject in a data directory, and a runner of trials on it."""

    home: Path
    rois: list[Roi]
    layers: tuple[str, ...]

    def __post_init__(self) -> None:
        weights = self.home / "weights.pt"
        torch.save(tiny_backbone().state_dict(), weights)
        self.backbone = Backbone("tiny", weights_name(weights))
        self.runs = RunDirectory(self.home / "runs")
        context = RunContext(DataDirectory(self.home / "data"), self.runs, weights)
        self.runner = TrialRunner(context, CPU)

    def trial(self, objective, *rois: int, **changes) -> Trial:
        encoding = Encoding(layers=self.layers, alphas=(1.0, 100.0, 1e4), n_folds=3)
        chosen = tuple(self.rois[number] for number in rois)
        return Trial(objective, chosen, self.backbone, encoding, **changes)

    def mean_r(self, trial: Trial) -> float:
        self.runner.run(trial, Listener())
        return float(np.mean(read_scores(self.runs, trial.id)["r"].to_numpy()))


@pytest.fixture(scope="module")
def threads() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "stream", read_rows)
        patch.setitem(backbones.OWN_ARCHITECTURES, "tiny", tiny_backbone)
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def lab(threads, tmp_path_factory) -> Lab:
    home = tmp_path_factory.mktemp("controls")
    return Lab(home, write_planted_gain(home / "data"), ("4",))


def test_where_tuning_gains_most_of_the_gain_is_not_that_of_permuted_responses(lab) -> None:
    untuned = lab.mean_r(lab.trial(Untuned(), 0, 1))
    real, permuted = (
        np.mean([lab.mean_r(lab.trial(CONTRASTIVE, roi, permuted=kind)) for roi in (0, 1)])
        for kind in (False, True)
    )
    assert real - untuned > 0.15  # .23 was measured
    assert permuted - untuned < (real - untuned) / 2  # a third: any training helps random weights


def test_where_tuning_gains_nothing_permuted_responses_differ_by_nothing(threads, tmp_path) -> None:
    lab = Lab(tmp_path, write_shards(tmp_path / "data", n_images=160, image_size=32), ("1",))
    few = Contrastive(learning_rate=1e-3, batch_size=48, epochs=4)
    real, permuted = (lab.mean_r(lab.trial(few, 0, permuted=kind)) for kind in (False, True))
    assert abs(real - permuted) < 0.03


def test_a_control_tuned_on_another_roi_takes_its_checkpoint_and_scores_its_own(lab) -> None:
    other = lab.trial(CONTRASTIVE, 1)
    lab.mean_r(other)
    control, listener = lab.trial(CONTRASTIVE, 0, tuned_on=lab.rois[1]), Listener()
    outcome = lab.runner.run(control, listener)
    assert listener.epochs == []  # nothing is trained anew
    assert len(outcome.history) == CONTRASTIVE.epochs
    found = read_scores(lab.runs, control.id)
    assert set(found["roi"].to_pylist()) == {"V1v"}
    assert set(found["trained_on"].to_pylist()) == {"nsd-subj01-lh-V2d"}
    assert set(found["method"].to_pylist()) == {"cross-roi-contrastive"}
    assert lab.mean_r(control) != lab.mean_r(lab.trial(CONTRASTIVE, 0))


def test_a_control_tuned_on_another_roi_trains_it_where_it_has_not_been(lab, tmp_path) -> None:
    first = lab.trial(Contrastive(batch_size=48, epochs=1), 2, tuned_on=lab.rois[4])
    own = lab.trial(Contrastive(batch_size=48, epochs=1), 4)
    lab.mean_r(first)
    listener = Listener()
    lab.runner.run(own, listener)
    assert listener.epochs == []
    assert own.training_id == first.training_id


def test_a_control_of_images_alone_is_trained_once_for_all_rois_of_its_subject(lab) -> None:
    lab.mean_r(lab.trial(IMAGES_ALONE, 0))
    later, listener = lab.trial(IMAGES_ALONE, 1, 3), Listener()
    outcome = lab.runner.run(later, listener)
    assert listener.epochs == []
    assert outcome.status == "finished"
    found = read_scores(lab.runs, later.id)
    assert set(found["roi"].to_pylist()) == {"V1v", "V2d"}
    assert set(found["trained_on"].to_pylist()) == {None}
    assert set(found["n_overlap"].to_pylist()) == {0}
