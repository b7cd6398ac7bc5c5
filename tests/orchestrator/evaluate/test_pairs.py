"""Which pairs of a model and a cell are evaluated: by kind, by choice, less what can't be told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli.errors import InputError
from orchestrator.evaluate.pairs import (
    Choice,
    Models,
    Pairing,
    baselines,
    choose,
    evaluations,
    find_models,
    is_any,
    is_onto_nod,
    is_pooled,
    is_transfer,
    pair_notes,
)
from orchestrator.execution.plan import Plan
from orchestrator.scores.score_table import setting_of
from tests.builders.transfer_shards import NOD_ROIS, weights_on, write_subjects
from trainables.data.shards import list_cells
from trainables.results.outcome import Outcome, Status
from trainables.spec import (
    Cell,
    Contrastive,
    Encoding,
    Objective,
    Pooled,
    Regression,
    Trial,
    Trunk,
    Untuned,
)

TRUNK = Trunk("alexnet")
ENCODING = Encoding(layers=("features.2",))


def a_cell(subject: int, roi: str = "V1v", hemisphere: str = "lh", dataset: str = "nsd") -> Cell:
    name = f"subj{subject:02d}" if dataset == "nsd" else f"sub-{subject:02d}"
    return Cell(dataset, name, hemisphere, roi, 20, f"data{subject}")


CELLS = [
    a_cell(subject, roi, side)
    for subject in (1, 2, 3)
    for roi, side in (("V1v", "lh"), ("V1v", "rh"), ("EBA", "lh"))
    if (subject, roi) != (3, "EBA")
]
NOD_CELLS = [a_cell(1, roi, side, "nod") for roi in ("V1", "V4") for side in ("lh", "rh")]


def a_trial(objective: Objective, *cells: Cell) -> Trial:
    return Trial(objective, cells, TRUNK, ENCODING)


SINGLE = [a_trial(Contrastive(), cell) for cell in CELLS]
POOL = a_trial(Pooled(), a_cell(1), a_cell(2))


def pairs(models: list[Trial], pairing: Pairing, cells: list[Cell], **more: bool) -> set[str]:
    found = evaluations(models, cells, pairing, drop_seen=more.get("drop_seen", False))
    return {f"{one.model.trained_on} > {cell.id}" for one in found for cell in one.cells}


def test_transfer_pairs_each_model_with_its_region_in_every_other_subject() -> None:
    found = pairs([*SINGLE, POOL], is_transfer, [*CELLS, *NOD_CELLS])
    v1 = [(m, t, side) for m in (1, 2, 3) for t in (1, 2, 3) for side in ("lh", "rh") if m != t]
    assert found == {
        *(f"nsd-subj0{m}-{side}-V1v > nsd-subj0{t}-{side}-V1v" for m, t, side in v1),
        "nsd-subj01-lh-EBA > nsd-subj02-lh-EBA",  # subject 3 has none
        "nsd-subj02-lh-EBA > nsd-subj01-lh-EBA",
    }


def test_nod_pairs_models_with_the_areas_that_their_rois_stand_for() -> None:
    assert pairs(SINGLE[:3], is_onto_nod, [*CELLS, *NOD_CELLS]) == {
        "nsd-subj01-lh-V1v > nod-sub-01-lh-V1",
        "nsd-subj01-rh-V1v > nod-sub-01-rh-V1",
    }


def test_pooled_models_are_scored_outside_their_pool_alone() -> None:
    assert pairs([POOL, *SINGLE], is_pooled, CELLS) == {f"{POOL.trained_on} > nsd-subj03-lh-V1v"}


def test_pooled_models_are_scored_in_their_pool_too_without_what_they_have_seen() -> None:
    found = pairs([POOL], is_pooled, CELLS, drop_seen=True)
    assert found == {f"{POOL.trained_on} > nsd-subj0{t}-lh-V1v" for t in (1, 2, 3)}


def test_any_cells_are_scored_but_for_a_model_s_own_in_one_evaluation_a_subject() -> None:
    found = evaluations(SINGLE[:1], CELLS, is_any, drop_seen=True)
    assert [(one.shards, len(one.cells)) for one in found] == [
        (("nsd-subj01",), 2),
        (("nsd-subj02",), 3),
        (("nsd-subj03",), 2),
    ]


def test_the_untuned_baseline_is_one_trial_a_subject_and_encoding() -> None:
    found = evaluations(SINGLE[:3], NOD_CELLS, is_onto_nod, drop_seen=False)
    [untuned] = baselines(found)
    assert isinstance(untuned.objective, Untuned)
    assert [cell.id for cell in untuned.cells] == ["nod-sub-01-lh-V1", "nod-sub-01-rh-V1"]


def record(runs: Path, trial: Trial, status: Status = "finished") -> Trial:
    Outcome(trial, status, "", "cpu", 1.0, {"finetuning": 1.0}).write(runs)
    return trial


def test_finished_tuned_trials_of_the_data_at_hand_are_models(tmp_path) -> None:
    kept = [record(tmp_path, SINGLE[0]), record(tmp_path, POOL)]
    record(tmp_path, a_trial(Untuned(), *CELLS[:2]))
    record(tmp_path, SINGLE[1], "failed")
    record(tmp_path, SINGLE[2], "stopped")
    record(tmp_path, a_trial(Contrastive(), Cell("nsd", "subj01", "lh", "V1v", 20, "older")))
    found = find_models(tmp_path, CELLS)
    assert set(found.trials) == set(kept)
    assert found.n_without_data == 1


def test_a_sweep_s_directory_without_models_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="holds no finished tuned trial; run python -m"):
        find_models(tmp_path, CELLS)
    record(tmp_path, SINGLE[0])
    with pytest.raises(InputError, match="none of its 1 tuned trials was tuned on the data"):
        find_models(tmp_path, NOD_CELLS)


@pytest.mark.parametrize(
    ("choice", "n_kept"),
    [
        (Choice(), 10),
        (Choice(methods=("contrastive",)), 8),
        (Choice(methods=("contrastive", "regression")), 9),
        (Choice(subjects=(1,)), 4),
        (Choice(subjects=(1, 2)), 8),
        (Choice(names=("contrastive-nsd-subj02",)), 3),
        (Choice(names=("contrastive-nsd-subj02", "pooled")), 4),
        (Choice(names=(setting_of(SINGLE[0]),)), 8),
    ],
)
def test_models_are_chosen_by_method_subject_name_and_setting(choice, n_kept) -> None:
    models = [*SINGLE, POOL, a_trial(Regression(), CELLS[0])]
    assert len(choose(models, choice)) == n_kept


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(names=("absent",)), "--models absent: no such model; there are contrastive-nsd"),
        (Choice(methods=("regression",)), "no finished regression trial among the models, which"),
        (Choice(subjects=(4,)), "--model-subjects 4: .* there are models of subj01, subj02"),
    ],
)
def test_a_choice_of_nothing_is_told_with_what_there_is(choice, message) -> None:
    with pytest.raises(InputError, match=message):
        choose(SINGLE, choice)


Notes = Callable[[bool], tuple[str, ...]]


@pytest.fixture
def notes(tmp_path) -> Notes:
    """Count the pairs of two subjects, of whom one was trained on ten of the other's images."""
    data = tmp_path / "data"
    own = weights_on(range(4))
    write_subjects(
        data,
        {"subj01": own, "subj02": own},
        {"subj01": (range(40), range(40, 60)), "subj02": (range(100, 140), range(30, 50))},
    )
    write_subjects(
        data, {"sub-01": own}, {"sub-01": (range(200, 240), range(240, 260))}, "nod", NOD_ROIS
    )
    cells = [cell for cell in list_cells(data) if cell.roi == "V1v" and cell.hemisphere == "lh"]
    models = Models(tuple(a_trial(Contrastive(), cell) for cell in cells), 2)

    def count(drop_seen: bool) -> tuple[str, ...]:
        found = evaluations(models.trials, cells, is_transfer, drop_seen=drop_seen)
        plan = Plan(tuple(found), tuple(found))
        return pair_notes(plan, models, data, tmp_path / "runs")

    return count


def test_a_plan_tells_how_many_pairs_have_seen_test_images(notes) -> None:
    counted, seen, left_out = notes(False)
    assert counted == "2 pairs of a model and a cell: 0 done"
    assert seen.startswith("1 of 2 pairs have test images that the model was trained on, at most")
    assert "10 of 20; --drop-seen scores without them" in seen
    assert left_out.startswith("2 models are left out: the data that they were tuned on is not in")
    assert notes(True)[1].endswith("r leaves these out")
