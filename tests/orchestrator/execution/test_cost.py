"""Estimates: the backbone's arithmetic is known, and more work costs more."""

from dataclasses import replace

import pytest

from orchestrator.execution.cost import GPU_FLOPS, Costs
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import SCHEMA_VERSION, Manifest
from trainables.models.measurement import measure_backbone
from trainables.results.outcome import Outcome
from trainables.spec import (
    LARGEST_ROI,
    Backbone,
    Contrastive,
    Encoding,
    Pooled,
    Roi,
    Trial,
    Untuned,
)
from trainables.spec.evaluation import Evaluation

ROI = Roi("nsd", "subj01", "lh", "V1v", 704, "0123abcd")
TRIAL = Trial(Contrastive(), (ROI,))
SIZES = {"lh": 19004, "rh": 20544}


def manifest(n_images: int = 9841, image_size: int = 224) -> Manifest:
    return Manifest(
        dataset="nsd",
        subject="subj01",
        image_size=image_size,
        n_images=n_images,
        n_train=n_images * 85 // 100,
        n_test=n_images - n_images * 85 // 100,
        n_vertices=SIZES,
        rois={"lh": {"V1v": 704}, "rh": {}},
        split="paper",
        split_digest="",
        source="",
        content="",
        files={},
        schema_version=SCHEMA_VERSION,
    )


@pytest.fixture
def costs() -> Costs:
    return Costs({"nsd-subj01": manifest()})


def finished(trial: Trial, seconds: float) -> Outcome:
    return Outcome(trial, "finished", "", "cpu", 0.0, {"reading": 0.0, "finetuning": seconds})


def test_alexnet_takes_its_well_known_operations() -> None:
    assert measure_backbone(Backbone("alexnet"), 224).flops == pytest.approx(1.43e9, rel=0.05)


def test_alexnet_has_its_well_known_parameters() -> None:
    assert measure_backbone(Backbone("alexnet"), 224).parameter_bytes == 4 * 61_100_840


def test_resnet50_takes_its_well_known_operations() -> None:
    assert measure_backbone(Backbone("resnet50"), 224).flops == pytest.approx(8.18e9, rel=0.05)


def test_smaller_images_take_fewer_operations_and_bytes() -> None:
    small, large = (
        measure_backbone(Backbone("alexnet"), 64),
        measure_backbone(Backbone("alexnet"), 224),
    )
    assert small.flops < large.flops / 5
    assert small.activation_bytes < large.activation_bytes / 5
    assert small.parameter_bytes == large.parameter_bytes


@pytest.mark.parametrize(("name", "size"), [("alexnet", 8), ("vit_b_16", 64)])
def test_an_image_size_that_a_backbone_does_not_take_is_refused(name, size) -> None:
    message = rf"{name} does not accept images of {size} x {size} .*--im"
    with pytest.raises(ValueError, match=message):
        measure_backbone(Backbone(name), size)


def test_an_unknown_backbone_is_refused(costs) -> None:
    with pytest.raises(ValueError, match="unknown backbone"):
        costs.estimate(replace(TRIAL, backbone=Backbone("alexent")))


def test_training_costs_more_than_none_and_more_epochs_cost_more(costs) -> None:
    seconds = [
        costs.estimate(Trial(Untuned(), (ROI,))).seconds,
        *(
            costs.estimate(Trial(Contrastive(epochs=epochs), (ROI,))).seconds
            for epochs in (1, 10, 30)
        ),
    ]
    assert seconds == sorted(set(seconds))


def test_a_training_holds_the_single_trials_of_its_rois(costs) -> None:
    """An epoch has one trial of each image, so that it takes no longer."""
    single = Costs({"nsd-subj01": replace(manifest(), n_trials=25_000)})
    for trial, n_bytes in ((TRIAL, 4 * 25_000 * 704), (Trial(Untuned(), (ROI,)), 0)):
        trials, means = single.estimate(trial), costs.estimate(trial)
        assert trials.bytes - means.bytes == n_bytes
        assert trials.seconds == means.seconds


def test_thirty_epochs_of_alexnet_on_a_real_subject_take_hours_of_one_core(costs) -> None:
    trained = costs.estimate(TRIAL).seconds
    untuned = costs.estimate(Trial(Untuned(), (ROI,))).seconds
    assert trained - untuned == pytest.approx(30 * 3 * 8364 * 1.43e9 / 8e10, rel=0.05)


def test_more_protocols_and_more_layers_cost_more(costs) -> None:
    few = replace(TRIAL, encoding=Encoding(layers=("features.2",)))
    more = replace(few, encoding=Encoding(layers=("features.2", "features.5")))
    most = replace(few, encoding=replace(more.encoding, protocols=("nested", "paper")))
    seconds = [costs.estimate(trial).seconds for trial in (few, more, most)]
    assert seconds == sorted(set(seconds))


def test_no_vertex_is_costed_twice() -> None:
    """Whole hemispheres contain every other ROI: each vertex is scored once."""
    whole = [replace(ROI, hemisphere=h, name="all", n_vertices=n) for h, n in SIZES.items()]

    def seconds(*rois: Roi) -> float:
        return Costs({"nsd-subj01": manifest()}).estimate(Trial(Untuned(), rois)).seconds

    assert seconds(ROI, *whole) == seconds(*whole) > seconds(ROI)


def test_a_deterministic_trial_is_costed_by_its_whole_decompositions(costs) -> None:
    """At NSD's size these take 2.7 (a fold) to 3.3 times (the refit) what truncated ones do."""
    fast = Trial(Untuned(), (ROI,), encoding=Encoding(layers=("features.2",)))
    n, k = 8364, 1000
    fold = n * 4 / 5
    more = 5 * (10 * fold**3 - 25 * fold**2 * k) + 10 * n**3 - 25 * n**2 * k
    extra = costs.estimate(fast.as_deterministic()).seconds - costs.estimate(fast).seconds
    assert extra == pytest.approx(more / costs.flops_per_second, rel=1e-3)
    model = replace(TRIAL, encoding=fast.encoding)
    other = (replace(ROI, name="V2v"),)
    evaluations = [Evaluation(one, other) for one in (model, model.as_deterministic())]
    seconds = [costs.estimate(one).seconds for one in evaluations]
    assert seconds[1] - seconds[0] == pytest.approx(extra, rel=1e-3)


def test_memory_grows_with_the_batch_until_it_holds_every_training_image(costs) -> None:
    sizes = [
        costs.estimate(Trial(Contrastive(batch_size=size), (ROI,))).bytes
        for size in (2048, 4096, 8364, 100_000)
    ]
    assert sizes[0] < sizes[1] < sizes[2] == sizes[3]


FEATURES = 46_656 + 32_448 + 64_896 + 43_264 + 9_216 + 4_096 + 4_096 + 1_000
"""Of one image in the eight layers of AlexNet at 224 px."""


def test_memory_of_scores_holds_features_matrices_and_weights(costs) -> None:
    """An H200 allocated 13.8 GB at most for the untuned trial of as many images and 1,200 vertices.

    The estimate, of five float64 matrices, is within a twentieth of that.
    """
    untuned = Trial(Untuned(), (ROI,))
    known = 9841 * (3 * 224 * 224 + 4 * FEATURES) + 5 * 8 * 9841**2 + 4 * 61_100_840
    responses = 4 * 9841
    assert costs.estimate(untuned).bytes == known + responses * (19004 + 20544)
    assert known + responses * 1200 == pytest.approx(13.8e9, rel=0.05)


def test_features_that_a_host_keeps_on_disk_are_not_counted(costs) -> None:
    untuned = Trial(Untuned(), (ROI,))
    features = 4 * 9841 * FEATURES
    on_gpu, large, small = (
        replace(costs, host_memory=memory, _known={}).estimate(untuned)
        for memory in (None, 4 * features, 4 * features - 1)
    )
    assert large == on_gpu
    assert large.bytes - small.bytes == features
    assert small.least == large.least


def test_memory_holds_at_least_the_images_and_responses(costs) -> None:
    images = 9841 * 3 * 224 * 224
    responses = 4 * 9841 * (19004 + 20544)
    assert costs.estimate(Trial(Untuned(), (ROI,))).bytes > images + responses


def test_estimates_are_corrected_by_the_median_of_what_was_measured(costs) -> None:
    raw = costs.estimate(TRIAL).seconds
    outcomes = [finished(TRIAL, factor * raw) for factor in (2.0, 3.0, 100.0)]
    corrected = costs.calibrated(outcomes)
    assert corrected.scale == pytest.approx(3.0)
    assert corrected.estimate(TRIAL).seconds == pytest.approx(3 * raw)
    assert corrected.estimate(TRIAL).bytes == costs.estimate(TRIAL).bytes


def test_correcting_twice_by_the_same_trials_changes_nothing_more(costs) -> None:
    outcomes = [finished(TRIAL, 2 * costs.estimate(TRIAL).seconds)]
    once = costs.calibrated(outcomes)
    assert once.calibrated(outcomes).scale == pytest.approx(once.scale)


def test_failed_trials_and_other_subjects_do_not_correct(costs) -> None:
    failed = replace(finished(TRIAL, 1.0), status="failed")
    elsewhere = finished(Trial(Untuned(), (replace(ROI, subject="subj02"),)), 1.0)
    assert costs.calibrated([failed, elsewhere]).scale == 1.0
    assert costs.calibrated([]).scale == 1.0


def pooled(hidden_dim: int | str, *numbers: int) -> Trial:
    rois = tuple(replace(ROI, subject=f"subj{number:02d}") for number in numbers)
    return Trial(Pooled(hidden_dim=hidden_dim), rois)


@pytest.fixture
def of_two() -> Costs:
    second = replace(manifest(), subject="subj02")
    return Costs({"nsd-subj01": manifest(), "nsd-subj02": second})


def test_a_pooled_trial_costs_what_each_subject_does(of_two) -> None:
    two, one = of_two.estimate(pooled("mean", 1, 2)), of_two.estimate(TRIAL)
    assert two.seconds == pytest.approx(2 * one.seconds, rel=0.01)
    images_and_responses = 9841 * (3 * 224 * 224 + 4 * (19004 + 20544))
    assert two.bytes - one.bytes == pytest.approx(images_and_responses, rel=0.01)


def test_a_wide_constant_head_costs_more_time_and_memory_than_a_mean_one(of_two) -> None:
    narrow, wide = (
        of_two.estimate(replace(pooled(h, 1, 2), encoding=None)) for h in ("mean", LARGEST_ROI)
    )
    weights = 5741 * (2 * 5741 + 1435) - 704 * (2 * 704 + 176)
    assert wide.bytes - narrow.bytes == 4 * 4 * weights
    extra = 30 * 3 * 4 * weights * 2 * 8364 / of_two.flops_per_second
    assert wide.seconds - narrow.seconds == pytest.approx(extra)


def test_workers_share_the_training_and_not_the_encoding(costs) -> None:
    untuned = Trial(Untuned(), (ROI,))
    four = replace(costs, workers=4, _known={})
    assert four.estimate(untuned).seconds == costs.estimate(untuned).seconds
    training = costs.estimate(TRIAL).seconds - costs.estimate(untuned).seconds
    assert four.estimate(TRIAL).seconds - four.estimate(untuned).seconds == pytest.approx(
        training / 4
    )
    assert four.estimate(TRIAL).bytes <= costs.estimate(TRIAL).bytes


def test_more_threads_and_gpus_are_faster(tmp_path) -> None:
    from benchmarks.small_shards import write_shards

    roi = write_shards(tmp_path)[0]
    trial = Trial(Contrastive(), (roi,))
    one, four, gpu = (
        Costs.read(DataDirectory(tmp_path), gpus=gpus, threads=threads)
        for gpus, threads in ((False, 1), (False, 4), (True, 1))
    )
    assert one.estimate(trial).seconds == pytest.approx(4 * four.estimate(trial).seconds)
    assert gpu.flops_per_second == GPU_FLOPS
    assert gpu.estimate(trial).seconds < four.estimate(trial).seconds
