"""Planning: which trials there are, what is left, in what order; what a space may get wrong."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.small_shards import write_shards
from orchestrator.cli.process import InputError
from orchestrator.execution.cost import Costs, Estimate
from orchestrator.execution.plan import (
    Selection,
    expand,
    fingerprint,
    load_search,
    load_space,
    make_plan,
    parse_rois,
    select,
    space_names,
    space_notes,
)
from trainables.results.outcome import Outcome, outcome_file
from trainables.results.score_files import SCORE_SCHEMA, score_file
from trainables.spec import (
    FROM_FILE,
    Cell,
    Contrastive,
    Pooled,
    Regression,
    Trial,
    Trunk,
    Untuned,
    digest,
)
from trainables.spec.rois import EARLY, HEMISPHERES, HIGHER, ROI_FAMILIES, STREAMS
from trainables.storage.atomic import write_parquet

ALL_CELLS = [
    Cell("nsd", subject, hemisphere, roi, 100 + number, f"data-{subject}")
    for subject in ("subj01", "subj02")
    for hemisphere in HEMISPHERES
    for number, roi in enumerate(roi for rois in ROI_FAMILIES.values() for roi in rois)
]
TRIALS_OF_SPACE = {"demo": 14, "paper": 194, "pooled": 194, "pooled_interleaved": 194}
"""Trials of each space on ALL_CELLS. A new space is added here, with its number."""
SEARCHES = {"tuning": 30, "tuning_demo": 3}
"""Cells of each search on ALL_CELLS."""


FROZEN = {
    "demo": ("fe4dedc6", "38004f14"),
    "paper": ("37f0ae7c", "ab8e75f2"),
    "pooled": ("bb9dd681", "1ffabba0"),
    "pooled_interleaved": ("e4aa29c8", "015313b2"),
}
"""Digests of all ids and training ids of a space on ALL_CELLS: results on disk go by them."""


class KnownCosts(Costs):
    """Costs told beforehand: seconds by method."""

    def estimate(self, trial: Trial) -> Estimate:
        return Estimate(
            {"untuned": 1.0, "regression": 3.0, "contrastive": 2.0, "pooled-avg": 9.0}[
                trial.method
            ],
            0,
        )


COSTS = KnownCosts({})


def three_methods(cells: Sequence[Cell]) -> Iterator[Trial]:
    for cell in cells:
        for objective in (Untuned(), Regression(), Contrastive()):
            yield Trial(objective, (cell,))


def cells(n: int = 3, subject: str = "subj01") -> list[Cell]:
    return [cell for cell in ALL_CELLS if (cell.subject, cell.hemisphere) == (subject, "lh")][:n]


def score(runs: Path, trial: Trial, cell: Cell) -> None:
    write_parquet(score_file(runs, trial.id, cell), SCORE_SCHEMA.empty_table())


def end(runs: Path, trial: Trial, status: str) -> None:
    Outcome(trial, status, "host", "cpu", 0.0, {}).write(runs)


def test_untuned_trials_of_a_subject_are_one_trial_for_all_their_cells() -> None:
    trials = expand(three_methods, cells(3), None)
    assert Counter(trial.method for trial in trials) == {
        "untuned": 1,
        "regression": 3,
        "contrastive": 3,
    }
    assert trials[0].cells == tuple(cells(3))


def test_untuned_trials_of_two_subjects_stay_two() -> None:
    trials = expand(three_methods, cells(2) + cells(2, "subj02"), None)
    assert [len(t.cells) for t in trials if t.method == "untuned"] == [2, 2]


def test_a_trial_yielded_twice_is_one() -> None:
    trials = expand(lambda some: [*three_methods(some), *three_methods(some)], cells(2), None)
    assert len(trials) == 5
    assert len(trials[0].cells) == 2


def test_planning_twice_gives_the_same_trials_in_the_same_order(tmp_path) -> None:
    first, second = (
        make_plan(expand(three_methods, ALL_CELLS, None), tmp_path, COSTS) for _ in range(2)
    )
    assert [trial.id for trial in first.waiting] == [trial.id for trial in second.waiting]
    assert first == second


def test_the_order_does_not_depend_on_the_order_of_the_space(tmp_path) -> None:
    trials = expand(three_methods, ALL_CELLS, None)
    first, second = (make_plan(t, tmp_path, COSTS).waiting for t in (trials, trials[::-1]))
    assert [trial.id for trial in first] == [trial.id for trial in second]


def test_trials_run_subject_by_subject_and_the_longest_first(tmp_path) -> None:
    plan = make_plan(expand(three_methods, cells(2, "subj02") + cells(2), None), tmp_path, COSTS)
    assert [(*trial.shards, trial.method) for trial in plan.waiting] == [
        (shard, method)
        for shard in ("nsd-subj01", "nsd-subj02")
        for method in ("regression", "regression", "contrastive", "contrastive", "untuned")
    ]


def test_trials_of_several_subjects_run_first_and_wait_whole(tmp_path) -> None:
    alike = (cells(1)[0], cells(1, "subj02")[0])
    pooled = Trial(Pooled(), alike)
    trials = [*expand(three_methods, alike, None), pooled]
    score(tmp_path, pooled, alike[0])
    waiting = make_plan(trials, tmp_path, COSTS).waiting
    assert waiting[0] == pooled
    assert [trial.shards[0] for trial in waiting[1:]] == ["nsd-subj01"] * 3 + ["nsd-subj02"] * 3


def test_a_trial_whose_scores_are_there_is_done(tmp_path) -> None:
    trials = expand(three_methods, cells(2), None)
    done = trials[1]
    score(tmp_path, done, done.cells[0])
    plan = make_plan(trials, tmp_path, COSTS)
    assert {trial.id for trial in plan.waiting} == {t.id for t in trials} - {done.id}
    assert plan.n_done == 1
    assert len(plan.trials) == 5


def waiting_untuned(runs: Path) -> tuple[Cell, ...]:
    waiting = make_plan(expand(three_methods, cells(3), None), runs, COSTS).waiting
    return next(trial for trial in waiting if trial.method == "untuned").cells


def test_cells_that_are_added_to_an_ended_untuned_trial_are_scored_alone(tmp_path) -> None:
    [untuned, *_] = expand(three_methods, cells(3), None)
    score(tmp_path, untuned, cells(3)[1])
    end(tmp_path, untuned.scoring(cells(3)[1:2]), "finished")
    assert waiting_untuned(tmp_path) == (cells(3)[0], cells(3)[2])


def test_an_untuned_trial_that_was_cut_or_lost_scores_is_scored_whole(tmp_path) -> None:
    [untuned, *_] = expand(three_methods, cells(3), None)
    score(tmp_path, untuned, cells(3)[1])
    assert waiting_untuned(tmp_path) == tuple(cells(3))
    score(tmp_path, untuned, cells(3)[2])
    end(tmp_path, untuned, "finished")
    assert waiting_untuned(tmp_path) == tuple(cells(3))


def test_scores_of_another_trial_on_the_same_cell_do_not_count(tmp_path) -> None:
    trials = expand(three_methods, cells(1), None)
    score(tmp_path, replace(trials[1], seed=9), cells(1)[0])
    assert len(make_plan(trials, tmp_path, COSTS).waiting) == 3


def test_a_damaged_score_file_is_named_and_its_cell_scored_again(tmp_path) -> None:
    trials = expand(three_methods, cells(2), None)
    for trial in trials:
        for cell in trial.cells:
            score(tmp_path, trial, cell)
    [tuned, *_] = [trial for trial in trials if trial.method == "contrastive"]
    path = score_file(tmp_path, tuned.id, tuned.cells[0])
    path.write_bytes(path.read_bytes()[:-9])
    plan = make_plan(trials, tmp_path, COSTS)
    assert [trial.id for trial in plan.waiting] == [tuned.id]
    assert plan.notes == (f"{path}: damaged; it is scored again",)


def test_when_all_is_scored_nothing_waits(tmp_path) -> None:
    trials = expand(three_methods, cells(2), None)
    for trial in trials:
        for cell in trial.cells:
            score(tmp_path, trial, cell)
    plan = make_plan(trials, tmp_path, COSTS)
    assert plan.waiting == ()
    assert plan.n_done == len(plan.trials)


@pytest.mark.parametrize(("status", "waits"), [("failed", True), ("stopped", False)])
def test_a_failed_trial_is_planned_again_and_a_stopped_one_is_not(tmp_path, status, waits) -> None:
    trials = expand(three_methods, cells(1), None)
    end(tmp_path, trials[2], status)
    assert (trials[2] in make_plan(trials, tmp_path, COSTS).waiting) is waits


def test_a_finished_outcome_without_its_scores_is_planned_again(tmp_path) -> None:
    trials = expand(three_methods, cells(1), None)
    end(tmp_path, trials[2], "finished")
    assert trials[2] in make_plan(trials, tmp_path, COSTS).waiting


def test_a_damaged_outcome_is_told_by_name(tmp_path) -> None:
    trials = expand(three_methods, cells(1), None)
    end(tmp_path, trials[2], "finished")
    outcome_file(tmp_path, trials[2].id).write_text("{")
    with pytest.raises(ValueError, match=f"{trials[2].id}.json: not a trial's outcome"):
        make_plan(trials, tmp_path, COSTS)


def test_weights_given_replace_those_of_every_trunk() -> None:
    trials = expand(three_methods, cells(1), "sha256:abc")
    assert {trial.trunk for trial in trials} == {Trunk("alexnet", "sha256:abc")}
    assert expand(three_methods, cells(1), None)[0].trunk.weights == "IMAGENET1K_V1"


def test_a_space_that_starts_from_a_file_needs_one() -> None:
    def from_file(some: Sequence[Cell]) -> list[Trial]:
        return [Trial(Untuned(), (some[0],), Trunk("narrow-alexnet", FROM_FILE))]

    with pytest.raises(InputError, match="starts narrow-alexnet from a file; give --weights FILE"):
        expand(from_file, cells(1), None)
    assert expand(from_file, cells(1), "sha256:abc")[0].trunk.weights == "sha256:abc"


USER_SPACE = """\
from __future__ import annotations

from dataclasses import dataclass

from trainables.spec import Contrastive, Trial


@dataclass
class Setting:
    rate: float


def trials(cells):
    for cell in cells:
        yield Trial(Contrastive(learning_rate=Setting(1e-3).rate), (cell,))
"""


def user_space(directory: Path, text: str) -> str:
    path = directory / "my space.py"
    path.write_text(text)
    return str(path)


def test_a_file_outside_the_repository_is_a_search_space(tmp_path) -> None:
    trials = expand(load_space(user_space(tmp_path, USER_SPACE)), cells(2), None)
    assert [trial.objective.learning_rate for trial in trials] == [1e-3, 1e-3]


def test_a_file_loaded_again_is_read_again(tmp_path) -> None:
    expand(load_space(user_space(tmp_path, USER_SPACE)), cells(2), None)
    changed = user_space(tmp_path, USER_SPACE.replace("1e-3", "1e-4") + "# longer than before\n")
    assert expand(load_space(changed), cells(1), None)[0].objective.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", r"needs a function trials\(cells\) that yields Trial values; .*example"),
        ("trials = 3\n", r"needs a function trials\(cells\)"),
        (
            "x = 1\n\ndef trials(cells)\n    pass\n",
            r"could not be loaded: SyntaxError: .*line 3\)$",
        ),
        ("\nimport absent_package\n", r"ModuleNotFoundError: No module .* \(line 2\)$"),
        ("\n\nx = 1 / 0\n", r"could not be loaded: ZeroDivisionError: .* \(line 3\)$"),
        ("def trials(cells):\n    yield 3\n", r"yielded 3; expected Trial values"),
        ("def trials(cells):\n    return []\n", "yielded no trial for the chosen cells"),
        ("def trials(cells):\n    pass\n", r"trials\(cells\) failed: TypeError"),
        ("def trials():\n    return []\n", r"trials\(cells\) failed: TypeError: .*argument"),
        (
            "def trials(cells):\n    for cell in cells:\n        yield cell.voxels\n",
            r"trials\(cells\) failed: AttributeError: .*voxels.* \(line 3\)$",
        ),
        (
            "from trainables.spec import Contrastive\ndef trials(cells):\n"
            "    yield Contrastive(epochs=0)\n",
            r"failed: ValueError: contrastive: epochs 0 is below 1 \(line 3\)$",
        ),
    ],
)
def test_a_faulty_space_is_told_in_one_line_with_the_line_of_the_fault(
    tmp_path, text, message
) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        expand(load_space(user_space(tmp_path, text)), cells(2), None)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_there_is_told(tmp_path) -> None:
    with pytest.raises(InputError, match=r"absent.py: no such search space"):
        load_space(str(tmp_path / "absent.py"))


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no search space 'papre'; expected one of .*paper"):
        load_space("papre")


def test_every_search_space_is_known_and_counted() -> None:
    assert space_names() == sorted(TRIALS_OF_SPACE | SEARCHES)


@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_a_search_draws_its_cells_and_says_how_it_is_run(name) -> None:
    large = [replace(cell, n_vertices=21) for cell in ALL_CELLS]
    assert len(load_search(name).choose_cells(large)) == SEARCHES[name]
    text = import_module(f"search_spaces.{name}").__doc__
    assert f"python -m orchestrator.sweep {name} " in text
    assert "Expected" in text


def test_a_trial_that_is_not_encoded_is_done_when_it_has_ended(tmp_path) -> None:
    trial = Trial(Contrastive(validation=0.1), (cells(1)[0],), encoding=None)
    assert make_plan([trial], tmp_path, COSTS).waiting == (trial,)
    end(tmp_path, trial, "finished")
    assert make_plan([trial], tmp_path, COSTS).waiting == ()
    end(tmp_path, trial, "failed")
    assert make_plan([trial], tmp_path, COSTS).waiting == (trial,)


@pytest.mark.parametrize("name", sorted(TRIALS_OF_SPACE))
def test_a_search_space_yields_its_trials_on_every_kind_of_cell(name) -> None:
    assert len(ALL_CELLS) == 2 * 2 * (24 + 7)
    trials = expand(load_space(name), ALL_CELLS, "sha256:0123456789abcdef")
    assert len(trials) == TRIALS_OF_SPACE[name]
    assert len({trial.id for trial in trials}) == len(trials)
    again = expand(load_space(name), ALL_CELLS, "sha256:0123456789abcdef")
    assert [trial.id for trial in again] == [trial.id for trial in trials]
    assert all(Trial.from_json(trial.to_json()) == trial for trial in trials)


@pytest.mark.parametrize("name", sorted(FROZEN))
def test_the_ids_of_a_space_never_change(name) -> None:
    trials = expand(load_space(name), ALL_CELLS, "sha256:0123456789abcdef")
    ids = (digest([trial.id for trial in trials]), digest([t.training_id for t in trials]))
    assert ids == FROZEN[name]


def test_pooled_spaces_differ_in_the_order_alone_and_share_what_they_are_compared_with() -> None:
    ids = {
        name: {trial.id for trial in expand(load_space(name), ALL_CELLS, None)}
        for name in ("paper", "pooled", "pooled_interleaved")
    }
    assert len(ids["pooled"] & ids["pooled_interleaved"]) == 98
    assert ids["pooled"] & ids["paper"] == ids["pooled"] & ids["pooled_interleaved"]
    pooled = [t for t in expand(load_space("pooled"), ALL_CELLS, None) if len(t.cells) == 2]
    assert Counter(trial.method for trial in pooled if trial.method != "untuned") == {
        "pooled-avg": 48,
        "pooled-const": 48,
    }


@pytest.mark.parametrize("name", ["pooled", "pooled_interleaved"])
def test_an_roi_of_one_subject_is_not_pooled_and_the_plan_says_so(name) -> None:
    space = load_space(name)
    some = [*cells(2), *cells(1, "subj02")]
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
    assert space_notes(space, cells(1) + cells(1, "subj02")) == ()
    assert space_notes(load_space("paper"), some) == ()


def test_a_space_that_can_pool_nothing_says_why_it_yields_nothing() -> None:
    with pytest.raises(InputError) as refusal:
        expand(load_space("pooled"), cells(1), None)
    assert refusal.value.lines == (
        "the search space yielded no trial for the chosen cells",
        "no pooled trial where only one subject has the ROI: nsd-subj01-lh-V1v",
    )


def test_the_notes_of_a_space_of_one_s_own_are_read_and_its_faults_told(tmp_path) -> None:
    text = USER_SPACE + "\n\ndef notes(cells):\n    yield f'{len(cells)} cells'\n"
    assert space_notes(load_space(user_space(tmp_path, text)), cells(2)) == ("2 cells",)
    faulty = USER_SPACE + "\n\ndef notes(cells):\n    yield cells[0].voxels\n"
    with pytest.raises(InputError, match=r"notes\(cells\) failed: AttributeError: .*line \d+\)$"):
        space_notes(load_space(user_space(tmp_path, faulty)), cells(2))


@pytest.mark.parametrize("name", sorted(TRIALS_OF_SPACE))
def test_a_search_space_says_how_it_is_run_and_what_to_expect(name) -> None:
    text = load_space(name).__globals__["__doc__"]
    command = "python -m orchestrator.sweep" + ("" if name == "demo" else f" {name} ")
    assert command in text
    assert "Expected" in text


def test_rois_are_read_as_names_and_groups_in_the_order_of_tables() -> None:
    assert parse_rois("EBA, V1v") == ("V1v", "EBA")
    assert parse_rois("early") == EARLY
    assert parse_rois("higher") == HIGHER
    assert parse_rois("streams") == STREAMS
    assert parse_rois("early,V1v,early") == EARLY
    assert parse_rois("midventral") == ("midventral",)


@pytest.mark.parametrize("text", ["", "V5", "V1v,", "v1v", "all"])
def test_an_unknown_roi_is_told_with_the_known_ones(text) -> None:
    with pytest.raises(InputError, match=r"rois: unknown '.*'; expected early, higher.*V1v"):
        parse_rois(text)


def test_cells_are_selected_by_subject_hemisphere_and_roi() -> None:
    chosen = select(ALL_CELLS, Selection((2,), ("rh",), ("V1v", "EBA")))
    assert [cell.id for cell in chosen] == ["nsd-subj02-rh-V1v", "nsd-subj02-rh-EBA"]
    assert select(ALL_CELLS, Selection()) == ALL_CELLS


def test_a_subject_that_is_not_in_the_data_is_told_with_those_that_are() -> None:
    with pytest.raises(InputError, match="subjects: 7 not in the data, which has subj01, subj02"):
        select(ALL_CELLS, Selection(subjects=(1, 7)))


def test_subjects_are_selected_by_number_in_every_data_set() -> None:
    nod = [Cell("nod", f"sub-{k:02d}", "lh", "V1", 50, "data") for k in (1, 2)]
    chosen = select(ALL_CELLS + nod, Selection((2,), ("lh",), parse_rois("early")))
    assert [cell.id for cell in chosen][-2:] == ["nsd-subj02-lh-hV4", "nod-sub-02-lh-V1"]
    assert len(chosen) == 8


def test_a_selection_that_leaves_no_cell_is_told() -> None:
    with pytest.raises(InputError, match="no cell of the data"):
        select(cells(1), Selection(rois=("EBA",)))


def test_the_fingerprint_is_of_every_manifest(tmp_path) -> None:
    write_shards(tmp_path / "one")
    write_shards(tmp_path / "same")
    write_shards(tmp_path / "two", ("subj01", "subj02"))
    write_shards(tmp_path / "other", seed=1)
    found = [fingerprint(tmp_path / name) for name in ("one", "same", "two", "other")]
    assert found[0] == found[1]
    assert len(set(found)) == 3
