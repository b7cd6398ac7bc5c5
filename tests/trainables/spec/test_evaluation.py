"""What an evaluation is: checked, named by its content, and back from JSON as it was."""

import json
from dataclasses import replace

import pytest

from tests.builders.small_scores import cell
from trainables.spec import Cell, Contrastive, Encoding, Pooled, Regression, Trial, Untuned
from trainables.spec.evaluation import Evaluation, method_on, read_work, serves

MODEL = Trial(Contrastive(), (cell("V1v"),))
TARGET = cell("V1v", "subj02")
POOL = Trial(Pooled(), (cell("V1v"), cell("V1v", "subj02")))
EVALUATION = Evaluation(MODEL, (TARGET,))


def nod(roi: str = "V1", hemisphere: str = "lh") -> Cell:
    return Cell("nod", "sub-01", hemisphere, roi, 50, "feed0123")


@pytest.mark.parametrize(
    ("model", "cells", "drop_seen", "message"),
    [
        (Trial(Untuned(), (cell(),)), (TARGET,), False, "expected a tuned trial"),
        (MODEL, (), False, "at least one cell"),
        (MODEL, (TARGET, cell("V1v", "subj03")), False, "must be of one subject"),
        (MODEL, (cell("V1v"),), False, r"nsd-subj01-lh-V1v: the trial .* scores its own cells"),
        (POOL, (TARGET,), False, "scores its own cells"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(model, cells, drop_seen, message) -> None:
    with pytest.raises(ValueError, match=message):
        Evaluation(model, cells, drop_seen)


def test_a_pooled_model_s_own_cells_are_scored_without_what_it_has_seen() -> None:
    evaluation = Evaluation(POOL, (TARGET,), drop_seen=True)
    assert evaluation.method_on(TARGET) == "pooled-avg-unseen"


@pytest.mark.parametrize("drop_seen", [False, True])
def test_an_evaluation_comes_back_from_json_as_it_was(drop_seen) -> None:
    evaluation = Evaluation(MODEL, (TARGET, cell("EBA", "subj02")), drop_seen)
    assert Evaluation.from_json(evaluation.to_json()) == evaluation
    assert read_work(evaluation.to_json()) == evaluation
    assert read_work(MODEL.to_json()) == MODEL


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seen": True}, "unknown keys"),
        ({"model": None}, "expected an object"),
        ({"cells": [{"subject": "subj01"}]}, "Cell: "),
    ],
)
def test_json_of_something_else_is_refused(change, message) -> None:
    content = json.loads(EVALUATION.to_json()) | change
    with pytest.raises(ValueError, match=message):
        read_work(json.dumps(content))


def test_the_id_is_readable_and_leaves_out_which_cells_are_scored() -> None:
    assert EVALUATION.id.startswith("transfer-contrastive-nsd-subj01-lh-V1v-on-nsd-subj02-")
    assert len(EVALUATION.id.rsplit("-", 1)[1]) == 8
    assert EVALUATION.scoring([cell("EBA", "subj02")]).id == EVALUATION.id
    assert Evaluation(MODEL, (nod(),)).id.startswith(
        "nod-contrastive-nsd-subj01-lh-V1v-on-nod-sub-01"
    )


@pytest.mark.parametrize(
    "other",
    [
        Evaluation(Trial(Contrastive(epochs=7), MODEL.cells), (TARGET,)),
        Evaluation(replace(MODEL, seed=1), (TARGET,)),
        Evaluation(replace(MODEL, encoding=Encoding(alphas=(1.0,))), (TARGET,)),
        Evaluation(Trial(Regression(), MODEL.cells), (TARGET,)),
        Evaluation(Trial(Contrastive(), (cell("V2d"),)), (TARGET,)),
        Evaluation(MODEL, (replace(TARGET, data="other"),)),
        Evaluation(MODEL, (replace(TARGET, subject="subj03"),)),
        Evaluation(MODEL, (TARGET,), drop_seen=True),
    ],
    ids=["setting", "seed", "encoding", "method", "model cell", "data", "subject", "drop"],
)
def test_all_that_changes_a_score_changes_the_id(other) -> None:
    assert other.id != EVALUATION.id


@pytest.mark.parametrize(
    ("target", "method"),
    [
        (TARGET, "transfer-contrastive"),
        (cell("V1v", "subj02", "rh"), "other-region-contrastive"),
        (cell("V2v", "subj02"), "other-region-contrastive"),
        (cell("V2v"), "other-region-contrastive"),
        (nod("V1"), "nod-contrastive"),
        (nod("V2"), "other-region-contrastive"),
        (nod("V1", "rh"), "other-region-contrastive"),
    ],
)
def test_a_score_s_method_says_what_its_model_was_tuned_on(target, method) -> None:
    assert method_on(Evaluation(MODEL, (target,)), target) == method
    assert method_on(Evaluation(MODEL, (target,), drop_seen=True), target) == f"{method}-unseen"


def test_nod_s_areas_are_served_by_the_nsd_rois_that_stand_for_them() -> None:
    served = {
        roi: [own for own in ("V1v", "V1d", "V2v", "V3v", "hV4") if serves(cell(own), nod(roi))]
        for roi in ("V1", "V2", "V3", "V4")
    }
    assert served == {"V1": ["V1v"], "V2": ["V2v"], "V3": ["V3v"], "V4": ["hV4"]}
    assert not serves(nod("V1"), cell("V1v"))


def test_what_a_trunk_was_tuned_on_is_named() -> None:
    assert EVALUATION.trained_on == "nsd-subj01-lh-V1v"
    assert POOL.trained_on == "nsd-subj01-lh-V1v nsd-subj02-lh-V1v"
    assert Trial(Untuned(), (cell(),)).trained_on is None
