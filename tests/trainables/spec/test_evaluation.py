"""What an evaluation is: checked, named by its content, and back from JSON as it was."""

import json
from dataclasses import replace

import pytest

from tests.builders.small_scores import roi
from trainables.spec import Contrastive, Encoding, Pooled, Regression, Roi, Trial, Untuned
from trainables.spec.evaluation import Evaluation, method_on, read_work_item, serves

MODEL = Trial(Contrastive(), (roi("V1v"),))
TARGET = roi("V1v", "subj02")
POOL = Trial(Pooled(), (roi("V1v"), roi("V1v", "subj02")))
EVALUATION = Evaluation(MODEL, (TARGET,))


def nod(roi_name: str = "V1", hemisphere: str = "lh") -> Roi:
    return Roi("nod", "sub-01", hemisphere, roi_name, 50, "feed0123")


@pytest.mark.parametrize(
    ("model", "rois", "exclude_training_images", "message"),
    [
        (Trial(Untuned(), (roi(),)), (TARGET,), False, "expected a fine-tuned trial"),
        (MODEL, (), False, "at least one ROI"),
        (MODEL, (TARGET, roi("V1v", "subj03")), False, "must be of one subject"),
        (MODEL, (roi("V1v"),), False, r"nsd-subj01-lh-V1v: the trial .* scores its own ROIs"),
        (POOL, (TARGET,), False, "scores its own ROIs"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(model, rois, exclude_training_images, message) -> None:
    with pytest.raises(ValueError, match=message):
        Evaluation(model, rois, exclude_training_images)


def test_a_pooled_model_s_own_rois_are_scored_without_what_it_has_seen() -> None:
    evaluation = Evaluation(POOL, (TARGET,), exclude_training_images=True)
    assert evaluation.method_on(TARGET) == "pooled-avg-no-overlap"


@pytest.mark.parametrize("exclude_training_images", [False, True])
def test_an_evaluation_comes_back_from_json_as_it_was(exclude_training_images) -> None:
    evaluation = Evaluation(MODEL, (TARGET, roi("EBA", "subj02")), exclude_training_images)
    assert Evaluation.from_json(evaluation.to_json()) == evaluation
    assert read_work_item(evaluation.to_json()) == evaluation
    assert read_work_item(MODEL.to_json()) == MODEL


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"overlap": True}, "unknown keys"),
        ({"model": None}, "expected an object"),
        ({"rois": [{"subject": "subj01"}]}, r"^rois\[0\].dataset: missing \(and 4 more\)$"),
    ],
)
def test_json_of_something_else_is_refused(change, message) -> None:
    content = json.loads(EVALUATION.to_json()) | change
    with pytest.raises(ValueError, match=message):
        read_work_item(json.dumps(content))


def test_the_id_is_readable_and_leaves_out_which_rois_are_scored() -> None:
    assert EVALUATION.id.startswith("transfer-contrastive-nsd-subj01-lh-V1v-on-nsd-subj02-")
    assert len(EVALUATION.id.rsplit("-", 1)[1]) == 8
    assert EVALUATION.scoring([roi("EBA", "subj02")]).id == EVALUATION.id
    assert Evaluation(MODEL, (nod(),)).id.startswith(
        "nod-contrastive-nsd-subj01-lh-V1v-on-nod-sub-01"
    )


@pytest.mark.parametrize(
    "other",
    [
        Evaluation(Trial(Contrastive(epochs=7), MODEL.rois), (TARGET,)),
        Evaluation(replace(MODEL, seed=1), (TARGET,)),
        Evaluation(replace(MODEL, encoding=Encoding(alphas=(1.0,))), (TARGET,)),
        Evaluation(Trial(Regression(), MODEL.rois), (TARGET,)),
        Evaluation(Trial(Contrastive(), (roi("V2d"),)), (TARGET,)),
        Evaluation(MODEL, (replace(TARGET, data="other"),)),
        Evaluation(MODEL, (replace(TARGET, subject="subj03"),)),
        Evaluation(MODEL, (TARGET,), exclude_training_images=True),
    ],
    ids=["setting", "seed", "encoding", "method", "model ROI", "data", "subject", "drop"],
)
def test_all_that_changes_a_score_changes_the_id(other) -> None:
    assert other.id != EVALUATION.id


@pytest.mark.parametrize(
    ("target", "method"),
    [
        (TARGET, "transfer-contrastive"),
        (roi("V1v", "subj02", "rh"), "other-region-contrastive"),
        (roi("V2v", "subj02"), "other-region-contrastive"),
        (roi("V2v"), "other-region-contrastive"),
        (nod("V1"), "nod-contrastive"),
        (nod("V2"), "other-region-contrastive"),
        (nod("V1", "rh"), "other-region-contrastive"),
    ],
)
def test_a_score_s_method_says_what_its_model_was_finetuned_on(target, method) -> None:
    assert method_on(Evaluation(MODEL, (target,)), target) == method
    assert (
        method_on(Evaluation(MODEL, (target,), exclude_training_images=True), target)
        == f"{method}-no-overlap"
    )


def test_nod_s_areas_are_served_by_the_nsd_rois_that_stand_for_them() -> None:
    served = {
        roi_name: [
            own for own in ("V1v", "V1d", "V2v", "V3v", "hV4") if serves(roi(own), nod(roi_name))
        ]
        for roi_name in ("V1", "V2", "V3", "V4")
    }
    assert served == {"V1": ["V1v"], "V2": ["V2v"], "V3": ["V3v"], "V4": ["hV4"]}
    assert not serves(nod("V1"), roi("V1v"))


def test_what_a_backbone_was_finetuned_on_is_named() -> None:
    assert EVALUATION.trained_on == "nsd-subj01-lh-V1v"
    assert POOL.trained_on == "nsd-subj01-lh-V1v nsd-subj02-lh-V1v"
    assert Trial(Untuned(), (roi(),)).trained_on is None
