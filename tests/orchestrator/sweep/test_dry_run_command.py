"""The sweep's command line where nothing is run: dry runs, help, searches and their files."""

import json

import pytest

from benchmarks.small_shards import write_weights
from orchestrator.sweep import __main__ as sweep
from tests.builders.sweep_command import SPACE, command, contents, refusal


def test_a_dry_run_prints_the_plan_and_writes_nothing(home, capsys) -> None:
    before = contents(home)
    assert sweep.main(command("--dry-run", "--max-concurrent", "2")) == 0
    shown = capsys.readouterr()
    assert "5 trials: 0 done, 5 to run; about" in shown.out
    assert "nsd-subj01" in shown.out
    assert shown.err == ""
    assert contents(home) == before


def test_a_dry_run_counts_the_workers_of_a_trial(home, capsys, monkeypatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    assert sweep.main(command("--dry-run", "--workers-per-trial", "4")) == 0
    assert "with 2 at once" in capsys.readouterr().out


def test_a_dry_run_of_a_space_says_what_it_leaves_out(home, capsys) -> None:
    note = 'def notes(rois):\n    yield f"{len(rois)} ROIs, none [left] out"\n'
    (home / "space.py").write_text(SPACE + "\n\n" + note)
    assert sweep.main(command("--dry-run")) == 0
    assert "5 ROIs, none [left] out" in capsys.readouterr().out


def test_a_dry_run_of_chosen_rois_counts_these_alone(home, capsys) -> None:
    arguments = command("--dry-run", "--subjects", "1", "--hemispheres", "lh", "--rois", "early")
    assert sweep.main(arguments) == 0
    assert "3 trials: 0 done, 3 to run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "declared", "n_rois"),
    [((), "", 5), ((), "WHOLE_HEMISPHERES = True", 7), (("--rois", "V1v,all"), "", 4)],
)
def test_whole_hemispheres_are_given_to_a_space_that_asks_for_them(
    home, capsys, more, declared, n_rois
) -> None:
    note = 'def notes(rois):\n    yield f"{len(rois)} ROIs are given"\n'
    (home / "space.py").write_text("\n\n".join((SPACE, declared, note)))
    assert sweep.main(command("--dry-run", *more)) == 0
    assert f"{n_rois} ROIs are given" in capsys.readouterr().out


def test_another_declaration_of_whole_hemispheres_is_refused(home, capsys) -> None:
    (home / "space.py").write_text(f"{SPACE}\n\nWHOLE_HEMISPHERES = 'lh'\n")
    line = refusal(command("--dry-run"), home, capsys)
    assert "space.py: WHOLE_HEMISPHERES is 'lh'; expected True or False" in line


def test_a_dry_run_of_the_demonstration_s_space_on_other_data_makes_no_demonstration(
    home, capsys
) -> None:
    write_weights(home / "narrow.safetensors")
    before = contents(home)
    assert sweep.main(command("--dry-run", space="demo", weights="narrow.safetensors")) == 0
    assert "9 trials" in capsys.readouterr().out
    assert contents(home) == before


def test_help_shows_every_flag_and_how_to_begin(capsys) -> None:
    assert sweep.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "the demonstration" in shown
    for flag in ("--data", "--out", "--weights", "--rois", "--dry-run", "--gpus-per-trial"):
        assert flag in shown


SEARCH = """\
from trainables.spec.search import Choice, LogUniform, Ranges, Search
from trainables.spec import FROM_FILE, Backbone

SEARCH = Search(
    Ranges(LogUniform(0.1, 1), LogUniform(1e-5, 1e-3), Choice((2, 4)), Choice((8,)),
           Choice((0.8,)), Choice((0.2,))),
    n_rois=2, min_vertices=5, n_configurations=5, per_round=2, grace_period=1,
    reduction_factor=2, backbone=Backbone("tiny", FROM_FILE), validation=0.2,
)
"""


def test_a_dry_run_of_a_search_says_what_would_run_and_writes_nothing(home, capsys) -> None:
    (home / "space.py").write_text(SEARCH)
    before = contents(home)
    assert sweep.main(command("--dry-run", "--search", "random")) == 0
    shown = capsys.readouterr()
    assert "2 ROIs of more than 5 vertices: nsd-subj01-" in shown.out
    assert "5 configurations by random in 3 rounds of 2: 10 trials, 0 done" in shown.out
    assert "in round 1" in shown.out
    assert contents(home) == before


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (SEARCH.replace("min_vertices=5", "min_vertices=99"), (), "more than 99 vertices"),
        (SEARCH + "SEARCH = 3\n", (), "SEARCH is 3; expected a trainables.spec.Search"),
        (
            SEARCH.replace("n_rois=2", "n_rois=0"),
            (),
            "n_rois: expected a value of at least 1, found 0",
        ),
        (SEARCH, ("--hyperparameters", "any.json"), "a search finds them"),
        (SEARCH, ("--keep", "none"), "--keep none: a search keeps no weights"),
        (SEARCH, ("--precision", "bfloat16"), "a search fine-tunes in float32"),
        (SEARCH, ("--deterministic",), "--deterministic: a search finds settings"),
        (SEARCH, ("--seeds", "2"), "--seeds: a search has a seed of its own"),
        (SPACE, ("--seeds", "0"), "--seeds"),
        (
            SPACE,
            ("--deterministic", "--precision", "bfloat16"),
            "deterministic is float32; give one of the two",
        ),
        (SPACE, ("--search", "random"), "--search random: space.py lists its trials"),
        (SPACE, ("--hyperparameters", "absent.json"), "absent.json: No such file"),
        (SPACE, ("--hyperparameters", "space.py"), "space.py: not JSON"),
    ],
)
def test_a_search_or_its_file_that_cannot_be_used_is_refused_in_one_line(
    home, capsys, text, arguments, message
) -> None:
    (home / "space.py").write_text(text)
    assert message in refusal(command(*arguments), home, capsys)


def test_hyperparameters_of_a_file_make_other_trials_of_the_same_space(home, capsys) -> None:
    values = {"temperature": 0.5, "learning_rate": 1e-3, "epochs": 9, "batch_size": 8}
    values |= {"hidden_ratio": 1.0, "embedding_ratio": 0.5}
    content = {"schema_version": 1, "hyperparameters": values, "found": {}}
    (home / "found.json").write_text(json.dumps(content))
    assert sweep.main(command("--dry-run", "--hyperparameters", "found.json")) == 0
    assert "5 trials: 0 done, 5 to run" in capsys.readouterr().out


def test_seeds_repeat_each_fine_tuning(home, capsys) -> None:
    assert sweep.main(command("--dry-run", "--seeds", "3")) == 0
    assert "15 trials: 0 done, 15 to run" in capsys.readouterr().out
