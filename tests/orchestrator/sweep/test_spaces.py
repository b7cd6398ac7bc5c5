"""Search spaces: what they yield, how they are found, what one may get wrong."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from orchestrator.cli.errors import InputError
from orchestrator.sweep.spaces import (
    expand,
    load_search,
    load_space,
    space_names,
    space_notes,
    with_seeds,
)
from tests.builders.planned_rois import ALL_ROIS, rois, three_methods
from trainables.spec import (
    FROM_FILE,
    Backbone,
    Roi,
    Trial,
    Untuned,
    digest,
)

TRIALS_OF_SPACE = {
    "controls": 2 * 2 + 5 * 96,
    "controls_demo": 12,
    "demo": 19,
    "paper": 194,
    "pooled": 194,
    "pooled_interleaved": 194,
    "whole_hemisphere": 2,
    "whole_hemisphere_demo": 2,
}
"""Trials of each space on ALL_ROIS. A new space is added here, with its number."""

SEARCHES = {
    "hyperparameter_search": 30,
    "hyperparameter_search_demo": 3,
    "hyperparameter_search_pooled": 30,
    "hyperparameter_search_regression": 30,
}
"""ROIs of each search on ALL_ROIS."""

FROZEN = {
    "demo": ("be2f153a", "ed3398f1"),
    "paper": ("4a0a1ba6", "27fc4e50"),
    "pooled": ("05bc0094", "1925852d"),
    "pooled_interleaved": ("adbce089", "da075ac0"),
}
"""Digests of all ids and training ids of a space on ALL_ROIS: results on disk go by them."""


def test_untuned_trials_of_a_subject_are_one_trial_for_all_their_rois() -> None:
    trials = expand(three_methods, rois(3), None)
    assert Counter(trial.method for trial in trials) == {
        "untuned": 1,
        "regression": 3,
        "contrastive": 3,
    }
    assert trials[0].rois == tuple(rois(3))


def test_untuned_trials_of_two_subjects_stay_two() -> None:
    trials = expand(three_methods, rois(2) + rois(2, "subj02"), None)
    assert [len(t.rois) for t in trials if t.method == "untuned"] == [2, 2]


def test_a_trial_yielded_twice_is_one() -> None:
    trials = expand(lambda some: [*three_methods(some), *three_methods(some)], rois(2), None)
    assert len(trials) == 5
    assert len(trials[0].rois) == 2


def test_weights_given_replace_those_of_every_backbone() -> None:
    trials = expand(three_methods, rois(1), "sha256:abc")
    assert {trial.backbone for trial in trials} == {Backbone("alexnet", "sha256:abc")}
    assert expand(three_methods, rois(1), None)[0].backbone.weights == "IMAGENET1K_V1"


def test_a_space_that_starts_from_a_file_needs_one() -> None:
    def from_file(some: Sequence[Roi]) -> list[Trial]:
        return [Trial(Untuned(), (some[0],), Backbone("narrow-alexnet", FROM_FILE))]

    with pytest.raises(InputError, match="starts narrow-alexnet from a file; give --weights FILE"):
        expand(from_file, rois(1), None)
    assert expand(from_file, rois(1), "sha256:abc")[0].backbone.weights == "sha256:abc"


USER_SPACE = """\
from __future__ import annotations

from dataclasses import dataclass

from trainables.spec import Contrastive, Trial


@dataclass
class Setting:
    rate: float


def trials(rois):
    for roi in rois:
        yield Trial(Contrastive(learning_rate=Setting(1e-3).rate), (roi,))
"""


def user_space(directory: Path, text: str) -> str:
    path = directory / "my space.py"
    path.write_text(text)
    return str(path)


def test_a_file_outside_the_repository_is_a_search_space(tmp_path) -> None:
    trials = expand(load_space(user_space(tmp_path, USER_SPACE)), rois(2), None)
    assert [trial.objective.learning_rate for trial in trials] == [1e-3, 1e-3]


def test_a_file_loaded_again_is_read_again(tmp_path) -> None:
    expand(load_space(user_space(tmp_path, USER_SPACE)), rois(2), None)
    changed = user_space(tmp_path, USER_SPACE.replace("1e-3", "1e-4") + "# longer than before\n")
    assert expand(load_space(changed), rois(1), None)[0].objective.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", r"needs a function trials\(rois\) that yields Trial values; .*example"),
        ("trials = 3\n", r"needs a function trials\(rois\)"),
        (
            "x = 1\n\ndef trials(rois)\n    pass\n",
            r"could not be loaded: SyntaxError: .*line 3\)$",
        ),
        ("\nimport absent_package\n", r"ModuleNotFoundError: No module .* \(line 2\)$"),
        ("\n\nx = 1 / 0\n", r"could not be loaded: ZeroDivisionError: .* \(line 3\)$"),
        ("def trials(rois):\n    yield 3\n", r"yielded 3; expected Trial values"),
        ("def trials(rois):\n    return []\n", "yielded no trial for the chosen ROIs"),
        (
            "def trials(rois):\n    pass\n",
            r"trials\(rois\) returned None; expected it to yield Tri",
        ),
        (
            "def trials():\n    return []\n",
            r"trials\(rois\) of the search space failed: TypeError: .*argument",
        ),
        (
            "def trials(rois):\n    for roi in rois:\n        yield roi.voxels\n",
            r"trials\(rois\) of the search space failed: AttributeError: .*voxels.* \(line 3\)$",
        ),
        (
            "from trainables.spec import *\ndef trials(rois):\n"
            "    yield Trial(Contrastive(batch_size='256'), rois[:1])\n",
            r"batch_size: expected an integer, found '256' \(line 3\)$",
        ),
        (
            "from trainables.spec import Contrastive\ndef trials(rois):\n"
            "    yield Contrastive(epochs=0)\n",
            r"failed: ValueError: Contrastive.epochs: expected .* 1, found 0 \(line 3\)$",
        ),
    ],
)
def test_a_faulty_space_is_reported_in_one_line_with_the_line_of_the_fault(
    tmp_path, text, message
) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        expand(load_space(user_space(tmp_path, text)), rois(2), None)
    assert "\n" not in str(refusal.value)
    assert "my space.py" in str(refusal.value) or "yielded" in str(refusal.value)


def test_a_file_that_is_not_there_is_reported(tmp_path) -> None:
    with pytest.raises(InputError, match=r"absent.py: no such search space"):
        load_space(str(tmp_path / "absent.py"))


def test_an_unknown_name_is_reported_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no search space 'papre'; expected one of .*paper"):
        load_space("papre")


def test_every_search_space_is_known_and_counted() -> None:
    assert space_names() == sorted(TRIALS_OF_SPACE | SEARCHES)


@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_a_search_draws_its_rois_and_says_how_it_is_run(name) -> None:
    large = [replace(roi, n_vertices=21) for roi in ALL_ROIS]
    assert len(load_search(name).choose(large)) == SEARCHES[name]
    text = import_module(f"search_spaces.{name}").__doc__
    assert f"python -m orchestrator.sweep {name} " in text
    assert "Expected" in text


@pytest.mark.parametrize("name", sorted(TRIALS_OF_SPACE))
def test_a_search_space_yields_its_trials_on_every_kind_of_roi(name) -> None:
    assert len(ALL_ROIS) == 2 * 2 * (24 + 7)
    trials = expand(load_space(name), ALL_ROIS, "sha256:0123456789abcdef")
    assert len(trials) == TRIALS_OF_SPACE[name]
    assert len({trial.id for trial in trials}) == len(trials)
    again = expand(load_space(name), ALL_ROIS, "sha256:0123456789abcdef")
    assert [trial.id for trial in again] == [trial.id for trial in trials]
    assert all(Trial.from_json(trial.to_json()) == trial for trial in trials)


@pytest.mark.parametrize("name", sorted(FROZEN))
def test_the_ids_of_a_space_never_change(name) -> None:
    trials = expand(load_space(name), ALL_ROIS, "sha256:0123456789abcdef")
    ids = (digest([trial.id for trial in trials]), digest([t.training_id for t in trials]))
    assert ids == FROZEN[name]


def test_pooled_spaces_differ_in_the_order_alone_and_share_what_they_are_compared_with() -> None:
    ids = {
        name: {trial.id for trial in expand(load_space(name), ALL_ROIS, None)}
        for name in ("paper", "pooled", "pooled_interleaved")
    }
    assert len(ids["pooled"] & ids["pooled_interleaved"]) == 98
    assert ids["pooled"] & ids["paper"] == ids["pooled"] & ids["pooled_interleaved"]
    pooled = [t for t in expand(load_space("pooled"), ALL_ROIS, None) if len(t.rois) == 2]
    assert Counter(trial.method for trial in pooled if trial.method != "untuned") == {
        "pooled-avg": 48,
        "pooled-const": 48,
    }


@pytest.mark.parametrize("name", ["pooled", "pooled_interleaved"])
def test_an_roi_of_one_subject_is_not_pooled_and_the_plan_says_so(name) -> None:
    space = load_space(name)
    some = [*rois(2), *rois(1, "subj02")]
    trials = expand(space, some, None)
    assert sorted(trial.method for trial in trials) == [
        "contrastive",
        "contrastive",
        "pooled-avg",
        "pooled-const",
        "untuned",
        "untuned",
    ]
    assert space_notes(space, some) == (
        "no pooled trial where only one subject has the ROI: nsd-subj01-lh-V1d",
    )
    assert space_notes(space, rois(1) + rois(1, "subj02")) == ()
    assert space_notes(load_space("paper"), some) == ()


def test_a_space_that_can_pool_nothing_says_why_it_yields_nothing() -> None:
    with pytest.raises(InputError) as refusal:
        expand(load_space("pooled"), rois(1), None)
    assert refusal.value.lines == (
        "the search space yielded no trial for the chosen ROIs",
        "no pooled trial where only one subject has the ROI: nsd-subj01-lh-V1v",
    )


def test_the_notes_of_a_space_of_one_s_own_are_read_and_its_faults_reported(tmp_path) -> None:
    text = USER_SPACE + "\n\ndef notes(rois):\n    yield f'{len(rois)} ROIs'\n"
    assert space_notes(load_space(user_space(tmp_path, text)), rois(2)) == ("2 ROIs",)
    faulty = USER_SPACE + "\n\ndef notes(rois):\n    yield rois[0].voxels\n"
    with pytest.raises(
        InputError, match=r"notes\(rois\) of the search space failed: AttributeError: .*line \d+\)$"
    ):
        space_notes(load_space(user_space(tmp_path, faulty)), rois(2))


@pytest.mark.parametrize("name", sorted(TRIALS_OF_SPACE))
def test_a_search_space_says_how_it_is_run_and_what_to_expect(name) -> None:
    text = load_space(name).__globals__["__doc__"]
    command = "python -m orchestrator.sweep" + ("" if name == "demo" else f" {name} ")
    assert command in text
    assert "Expected" in text


def test_seeds_repeat_what_is_fine_tuned_and_the_first_seeds_come_first() -> None:
    untuned, *tuned = three_methods(rois(1))
    found = with_seeds([untuned, *tuned], 3)
    assert found[: len(tuned) + 1] == [untuned, *tuned]
    assert [one.seed for one in found[1:]] == [seed for seed in (0, 1, 2) for _ in tuned]
    assert {replace(one, seed=0) for one in found} == {untuned, *tuned}
    assert len({one.id for one in found}) == len(found) == 1 + 3 * len(tuned)
    assert with_seeds(found, 2)[: len(found)] == found  # a space may repeat trials by itself
