"""What is known before the first trial: ROIs, folds, layers, weights and memory."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.cli.errors import InputError
from orchestrator.cli.text import duration, n_bytes
from orchestrator.cluster import local_ray
from orchestrator.execution import preflight
from orchestrator.execution.cost import Costs
from orchestrator.execution.preflight import (
    check_backbones,
    check_rois,
    check_trials,
    fetch_weights,
    refuse,
)
from orchestrator.execution.settings import Locations, RunSettings
from tests.builders.planned_rois import rois
from tests.orchestrator.execution.test_cost import manifest
from trainables.data.data_directory import DataDirectory
from trainables.encoding.protocols import Split, contiguous_folds
from trainables.encoding.split_sizes import shortage
from trainables.results.run_directory import RunDirectory
from trainables.spec import (
    PROTOCOLS,
    Backbone,
    Contrastive,
    Encoding,
    Evaluation,
    Pooled,
    Trial,
    Untuned,
)

SUBJECTS = ("subj01", "subj02")
ROI, TWIN = (rois(1, subject)[0] for subject in SUBJECTS)
PAPER = Encoding(protocols=("paper",))


def costs_of(n_test: int = 100, n_train: int = 600, image_size: int = 64) -> Costs:
    counts = {"n_images": n_train + n_test, "n_train": n_train, "n_test": n_test}
    made = manifest(image_size=image_size)
    return Costs({f"nsd-{one}": replace(made, subject=one, **counts) for one in SUBJECTS})


def check_here(trials: Any, costs: Costs) -> None:
    check_trials(trials, costs, on_cluster=False)


def lines_of(call: Any) -> tuple[str, ...]:
    with pytest.raises(InputError) as refusal:
        call()
    return refusal.value.lines


def test_problems_of_a_kind_are_one_line_with_a_count_and_three_examples() -> None:
    problems = [("too few", f"subject {n}") for n in range(10_000)] + [
        ("other", "x"),
        ("other", "x"),
    ]
    assert lines_of(lambda: refuse(problems)) == (
        "too few: 10,000 cases, such as subject 0; subject 1; subject 2",
        "other: x",
    )
    refuse([])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subject": "subj09"}, "nsd-subj09-lh-V1v (did you mean nsd-subj0"),
        ({"name": "V1"}, "nsd-subj01-lh-V1 (did you mean nsd-subj01-lh-V1"),
        ({"hemisphere": "rh"}, "nsd-subj01-rh-V1v (did you mean"),
        ({"dataset": "quite-another-one", "name": "Z"}, "quite-another-one-subj01-lh-Z"),
        ({"data": "made-up"}, "nsd-subj01-lh-V1v of 100 vertices and data 'made-up', the data has"),
        ({"n_vertices": 7}, "nsd-subj01-lh-V1v of 7 vertices and data 'data-subj01', the data has"),
    ],
)
def test_a_made_up_roi_is_refused_with_the_one_that_was_meant(changes, message) -> None:
    known = [*rois(3), *rois(3, "subj02")]
    (line,) = lines_of(lambda: check_rois([Trial(Untuned(), (replace(ROI, **changes),))], known))
    assert "the search space " in line
    assert message in line
    check_rois([Trial(Untuned(), tuple(rois(3)))], known)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("n_folds", [2, 5, 10**6])
@pytest.mark.parametrize(("n_train", "n_test"), [(0, 0), (14, 14), (15, 15), (600, 2), (17, 100)])
def test_a_shortage_is_found_where_scoring_would_fail(protocol, n_folds, n_train, n_test) -> None:
    rows = torch.arange(n_train + n_test).numpy()
    split = Split(rows[:n_train], rows[n_train:], n_train + n_test)
    used = {
        "nested": split.train,
        "clean": split.clean,
        "paper": split.test,
        "released": split.released,
    }[protocol]
    fails = protocol in ("nested", "clean") and n_test < 3
    try:
        next(contiguous_folds(used, n_folds))
    except ValueError:
        fails = True
    assert bool(shortage(protocol, n_folds, n_train + n_test, n_train, n_test)) == fails


def test_test_images_fewer_than_the_folds_need_are_refused_before_anything_runs() -> None:
    trials = [Trial(Contrastive(), (roi,), encoding=PAPER) for roi in (ROI, TWIN)]
    kind = (
        "too few images for the protocol 'paper' (ingest more, or use fewer folds or another "
        "protocol)"
    )
    case = "nsd-subj01 has 14 test images in 5 folds, needs 15"
    assert lines_of(lambda: check_here(trials[:1], costs_of(14))) == (f"{kind}: {case}",)
    (line,) = lines_of(lambda: check_here(trials, costs_of(14)))
    assert line.startswith(f"{kind}: 2 cases, such as {case}; nsd-subj02 has ")
    check_here(trials, costs_of(15))
    with_huge_folds = replace(trials[0], encoding=Encoding(n_folds=10**6))
    assert (
        "600 training images in 1000000 folds"
        in lines_of(lambda: check_here([with_huge_folds], costs_of()))[0]
    )


def test_an_evaluation_s_folds_and_a_training_without_images_are_refused() -> None:
    model = Trial(Contrastive(), (TWIN,), encoding=PAPER)
    assert (
        "14 test images"
        in lines_of(lambda: check_here([Evaluation(model, (ROI,))], costs_of(14)))[0]
    )
    alone = Trial(Contrastive(validation=0.9), (ROI,), encoding=None)
    assert lines_of(lambda: check_here([alone], costs_of(n_train=10))) == (
        "fine-tuning needs at least 2 training images: nsd-subj01 has 10 training images, 9 of "
        "them held back",
    )


def test_what_fits_no_memory_is_refused_in_plain_words(monkeypatch) -> None:
    monkeypatch.setattr(preflight, "memory_limit", lambda: 4 * 2**30)
    wide = Trial(Pooled(hidden_dim=2**20), (ROI, TWIN))
    (line,) = lines_of(lambda: check_here([wide], costs_of()))
    assert line.startswith("trials need more memory than there is (4.0 GiB): pooled-const-nsd-lh-")
    assert line.endswith(" needs 36.0 TiB for its weights and matrices")
    check_here([replace(wide, objective=Pooled())], costs_of())
    check_trials([wide], costs_of(), on_cluster=True)  # nodes may be larger than this machine
    many = costs_of(n_train=10**7)
    assert (
        "trials need more memory than there is (64.0 TiB)"
        in lines_of(lambda: check_trials([wide], many, on_cluster=True))[0]
    )


def test_numbers_beyond_all_measure_are_words() -> None:
    assert [n_bytes(one) for one in (0, 3 * 2**29, 2**42, 2**62)] == [
        "0.0 GiB",
        "1.5 GiB",
        "4.0 TiB",
        "over 1,000 TiB",
    ]
    assert duration(1e12) == "over 100 years"


@pytest.mark.parametrize(
    ("architecture", "layers", "message"),
    [
        ("alexnet", ("x",), "unknown layers ['x']; this backbone has features.0, "),
        ("alexnet", ("features.22",), "did you mean 'features.2', "),
        ("alexnet", ("Input",), "unknown layers ['Input']; this backbone has"),
        ("vit_b_16", ("getattr",), "no features of each image"),
        ("densenet121", ("norm5",), "did you mean 'features.norm5'?"),
        ("not_a_net", ("features.2",), "unknown backbone 'not_a_net'"),
    ],
)
def test_layers_without_features_are_refused(monkeypatch, architecture, layers, message) -> None:
    monkeypatch.setattr(preflight, "check_weights", lambda *_: None)
    trial = Trial(Untuned(), (ROI,), Backbone(architecture), Encoding(layers=layers))
    with pytest.raises(ValueError) as refusal:
        check_backbones([trial], None, costs_of(image_size=224))
    assert message in str(refusal.value)
    assert len(str(refusal.value)) < 1500


@pytest.mark.parametrize(
    ("architecture", "tune", "message"),
    [
        (
            "alexnet",
            "from:features.13",
            "tune from:features.13: unknown layer; did you mean 'features.3', ",
        ),
        ("alexnet", "from:feature.6", "did you mean 'features.6', "),
        ("squeezenet1_0", "from:classifier.2", "no layer from there on has weights"),
    ],
)
def test_a_part_that_can_not_be_tuned_is_refused(monkeypatch, architecture, tune, message) -> None:
    monkeypatch.setattr(preflight, "check_weights", lambda *_: None)
    trial = Trial(Contrastive(tune=tune), (ROI,), Backbone(architecture), None)
    with pytest.raises(ValueError) as refusal:
        check_backbones([trial], None, costs_of(image_size=224))
    assert message in str(refusal.value)
    whole = replace(trial, objective=Contrastive(tune="lora:4"))
    check_backbones(
        [whole, replace(trial, objective=Contrastive())], None, costs_of(image_size=224)
    )


def test_adapters_need_the_memory_of_one_copy_of_the_weights(monkeypatch) -> None:
    trial = Trial(Contrastive(), (ROI,), Backbone("vgg11"), None)
    least = {
        tune: costs_of().estimate(replace(trial, objective=Contrastive(tune=tune))).least
        for tune in ("all", "lora:8")
    }
    assert least["lora:8"] < 0.3 * least["all"]


@pytest.fixture
def no_network(monkeypatch, tmp_path) -> Path:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    return tmp_path / "hub"


def test_planning_downloads_nothing_and_says_what_will_be(no_network) -> None:
    trial = Trial(Untuned(), (ROI,))
    notes = check_backbones([trial, trial], None, costs_of())
    assert notes == [
        "alexnet: its weights IMAGENET1K_V1 are not on this machine; they are downloaded when the "
        "first trial starts (233 MB)"
    ]
    assert not no_network.exists()
    with pytest.raises(ValueError, match="unknown weights 'V9' for alexnet; expected one of"):
        check_backbones([replace(trial, backbone=Backbone(weights="V9"))], None, costs_of())
    with pytest.raises(ValueError, match=r"could not be downloaded \(no network\); try again, or"):
        fetch_weights([trial], None, on_cluster=False)
    fetch_weights([trial], None, on_cluster=True)  # the workers may have a network


@pytest.mark.parametrize(("limit", "expected"), [(4 * 2**30, 3 * 2**30), (2**29, 128 * 2**20)])
def test_ray_uses_the_memory_that_the_plan_states(monkeypatch, limit, expected) -> None:
    monkeypatch.setattr(local_ray, "memory_limit", lambda: limit)
    monkeypatch.setattr(local_ray, "get_system_memory", lambda: 64 * 2**30)
    monkeypatch.setattr(local_ray, "estimate_available_memory", lambda: 32 * 2**30)
    assert local_ray.worker_memory(2**30) == expected
    monkeypatch.setattr(local_ray, "get_system_memory", lambda: limit)
    assert local_ray.worker_memory(2**30) is None


@pytest.mark.parametrize(
    ("address", "local", "expected"),
    [
        ("10.0.0.1:6379", False, True),
        ("auto", False, True),
        ("10.0.0.1:6379", True, False),  # --local: trials run in this process all the same
        ("local", False, False),
        ("", False, False),
    ],
)
def test_only_a_cluster_differs_from_this_machine(monkeypatch, address, local, expected) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    locations = Locations(DataDirectory(Path("data")), RunDirectory(Path("runs")))
    assert RunSettings(locations, local=local).on_cluster is expected
