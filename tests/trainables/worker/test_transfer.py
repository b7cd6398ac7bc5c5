"""Backbones of checkpoints on other subjects: planted transfer, and one pass a subject."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pyarrow.parquet as pq
import pytest

from orchestrator.evaluate.pairs import evaluations, is_any, is_transfer
from orchestrator.execution.cost import Costs
from orchestrator.execution.plan import make_plan
from tests.builders.transfer_lab import QUICK
from tests.builders.transfer_shards import (
    CONTRASTIVE,
    NOD_ROIS,
    POOLED,
    REGRESSION,
    TransferLab,
    mean_r,
    only,
    weights_on,
    write_subjects,
)
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import TRIAL_KEY
from trainables.spec import Untuned
from trainables.spec.evaluation import Evaluation
from trainables.worker import score_subject

pytestmark = pytest.mark.usefixtures("narrow_without_ray")

OBJECTIVES = (REGRESSION, CONTRASTIVE)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda one: one.method)
def test_a_subject_of_identical_weights_transfers_without_loss(lab, objective) -> None:
    model = lab.trial(objective, lab.roi(1))
    lab.run(model)
    target = lab.roi(2)
    own = mean_r(lab.run(lab.trial(objective, target)))
    untuned = mean_r(lab.run(lab.trial(Untuned(), target)))
    transferred = mean_r(lab.run(Evaluation(model, (target,), exclude_training_images=True)))
    assert own > untuned + 0.2
    assert transferred > own - 0.02


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda one: one.method)
def test_a_subject_of_orthogonal_weights_does_not(lab, objective) -> None:
    model = lab.trial(objective, lab.roi(1))
    lab.run(model)
    target = lab.roi(3)
    own = mean_r(lab.run(lab.trial(objective, target)))
    untuned = mean_r(lab.run(lab.trial(Untuned(), target)))
    transferred = mean_r(lab.run(Evaluation(model, (target,))))
    assert transferred < untuned - 0.3 < own - 0.3


def test_an_evaluation_of_the_model_s_own_backbone_repeats_the_trial_s_scores(lab, quick) -> None:
    """The backbone that is read from the checkpoint is the one that the trial has scored."""
    neighbour = lab.roi(1, "V2d")  # shares four vertices with V1v
    scores = lab.run(Evaluation(quick, (neighbour,)))
    own = lab.run(quick)
    both = {4, 5, 6, 7}

    def shared(table) -> list[float]:
        rows = [row for row in table.to_pylist() if row["vertex"] in both]
        return [row["r"] for row in sorted(rows, key=lambda row: (row["protocol"], row["vertex"]))]

    assert len(shared(own)) == 8
    assert shared(scores) == pytest.approx(shared(own), abs=1e-6)


def test_a_pooled_model_is_scored_on_a_subject_outside_its_pool(lab) -> None:
    model = lab.trial(POOLED, lab.roi(1), lab.roi(2))
    lab.run(model)
    scores = lab.run(Evaluation(model, (lab.roi(3),)))
    assert only(scores, "method") == "transfer-pooled-avg"
    own = lab.run(Evaluation(model, (lab.roi(2),), exclude_training_images=True))
    assert (only(own, "method"), only(own, "n_excluded")) == ("pooled-avg-no-overlap", 20)


@pytest.fixture
def passes(monkeypatch) -> list[int]:
    """Count the passes of a backbone over images, by the number of images."""
    counted: list[int] = []
    read_features = score_subject.read_features

    def counting(*arguments):
        counted.append(arguments[3])
        return read_features(*arguments)

    monkeypatch.setattr(score_subject, "read_features", counting)
    return counted


def test_an_all_pairs_transfer_does_one_pass_a_backbone_and_target_subject(lab, passes) -> None:
    regions = [("V1v", "lh"), ("V2d", "lh"), ("EBA", "rh")]
    rois = [lab.roi(s, roi_name, side) for s in (1, 2, 3) for roi_name, side in regions]
    models = [lab.trial(QUICK, roi) for roi in rois]
    for model in models:
        lab.run(model)
    passes.clear()
    planned = evaluations(models, rois, is_transfer, exclude_training_images=False)
    ran = []
    for evaluation in planned:
        lab.run(evaluation)
        ran.append((evaluation.training_id, evaluation.shards[0]))
    wanted = {
        (model.training_id, f"nsd-subj0{target}")
        for source, target in permutations((1, 2, 3), 2)
        for model in models
        if model.rois[0].subject == f"subj0{source}"
    }
    assert len(ran) == len(passes) == len(wanted) == 3 * 2 * 3
    assert set(ran) == wanted
    assert set(passes) == {200}
    plan = make_plan(
        planned, RunDirectory(lab.runs), Costs.read(DataDirectory(lab.home / "data"), gpus=False)
    )
    assert (plan.n_done, plan.waiting) == (18, ())


def test_all_rois_of_a_subject_share_one_pass(lab, quick, passes) -> None:
    rois = [roi for roi in lab.rois if roi.subject == "subj03"]
    [evaluation] = evaluations([quick], rois, is_any, exclude_training_images=False)
    scores = lab.run(evaluation)
    assert passes == [200]
    found = {row["hemisphere"] + row["roi"] for row in scores.to_pylist()}
    assert found == {"lhV1v", "lhV2d", "lhhV4", "rhV1v", "rhEBA"}


def test_only_the_rois_without_scores_are_planned_again(lab) -> None:
    model = lab.trial(QUICK, lab.roi(3))
    lab.run(model)
    rois = [roi for roi in lab.rois if roi.subject == "subj01"]
    [evaluation] = evaluations([model], rois, is_any, exclude_training_images=False)
    lab.run(evaluation.scoring(rois[:2]))
    costs = Costs.read(DataDirectory(lab.home / "data"), gpus=False)
    plan = make_plan([evaluation], RunDirectory(lab.runs), costs)
    assert [work.rois for work in plan.waiting] == [tuple(rois[2:])]
    lab.run(plan.waiting[0])
    assert make_plan([evaluation], RunDirectory(lab.runs), costs).waiting == ()


def test_models_of_nsd_are_scored_on_nod_beside_untuned(lab, quick) -> None:
    if not (lab.home / "data" / "nod-sub-01").exists():
        write_subjects(
            lab.home / "data",
            {"sub-01": weights_on(range(4))},
            {"sub-01": (range(5000, 5150), range(5200, 5250))},
            dataset="nod",
            roi_names=NOD_ROIS,
        )
    roi = next(c for c in TransferLab.open(lab.home).rois if c.id == "nod-sub-01-lh-V1")
    scores = lab.run(Evaluation(quick, (roi,)))
    assert (only(scores, "method"), only(scores, "dataset")) == ("nod-regression", "nod")
    assert (only(scores, "subject"), only(scores, "n_overlap")) == ("sub-01", 0)
    assert np.isfinite(mean_r(scores))


def test_the_whole_evaluation_is_in_its_score_file(lab, quick) -> None:
    evaluation = Evaluation(quick, (lab.roi(3),))
    lab.run(evaluation)
    path = RunDirectory(lab.runs).score_file(evaluation.id, lab.roi(3).id)
    found = Evaluation.from_json(pq.read_schema(path).metadata[TRIAL_KEY].decode())
    assert set(evaluation.rois) <= set(found.rois)  # scores of an earlier evaluation are kept
    assert replace(found, rois=evaluation.rois) == evaluation
