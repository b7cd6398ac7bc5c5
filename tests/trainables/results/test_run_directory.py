"""The paths of a sweep's directory are spelled in one module, and S3 is asked in few."""

from pathlib import Path

from tests.builders.spelled_paths import HOME, PRODUCT, other_spellers, spelled
from trainables.results.run_directory import RunDirectory

DIRECTORIES = {
    "trials",
    "scores",
    "predictions",
    "logs",
    "checkpoints",
    "probes",
    "analyses",
    "hyperparameter_search",
    "operation",
    "scratch",
    "report.html",
    "command.json",
    "running.json",
    "cancel",
}
SPELLER = HOME / "trainables" / "results" / "run_directory.py"


def test_only_the_run_directory_spells_its_paths() -> None:
    assert spelled(SPELLER, DIRECTORIES) == DIRECTORIES
    assert other_spellers(SPELLER, DIRECTORIES) == {}


def test_only_storage_and_the_data_directory_ask_s3() -> None:
    asking = {
        str(path.relative_to(HOME))
        for path in PRODUCT
        if "s3_mirror" in path.read_text() and not path.is_relative_to(HOME / "trainables/storage")
    }
    assert asking == {"orchestrator/execution/run_lock.py", "trainables/data/data_directory.py"}


def test_outcomes_and_scores_are_listed_without_files_that_are_being_written(
    tmp_path: Path,
) -> None:
    runs = RunDirectory(tmp_path)
    for path in (
        runs.outcome_file("b"),
        runs.outcome_file("a"),
        runs.outcome_file(".a.json.17"),
        runs.score_file("a", "one"),
        runs.score_file("b", "two"),
        runs.score_file("b", ".two"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert runs.trial_ids() == ["a", "b"]
    assert runs.score_files() == [runs.score_file("a", "one"), runs.score_file("b", "two")]
    assert runs.score_files("b") == [runs.score_file("b", "two")]
    assert runs.has_scores(["c", "b"])
    assert not runs.has_scores(["c"])
