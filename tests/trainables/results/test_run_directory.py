"""The paths of a sweep's directory are spelled in one module, and S3 is asked in few."""

from pathlib import Path

from tests.builders.spelled_paths import HOME, PRODUCT, other_spellers, spelled
from trainables.results.run_directory import RunDirectory
from trainables.storage.scratch_file import ScratchFile
from trainables.storage.temporary_files import temporary_name

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
A, B = "contrastive-nsd-subj01-lh-V1v-0123abcd", "untuned-nsd-subj01-89abcdef"
V1, EBA = "nsd-subj01-lh-V1v", "nsd-subj01-lh-EBA"
SPELLER = HOME / "trainables" / "results" / "run_directory.py"


def test_only_the_run_directory_spells_its_paths() -> None:
    assert spelled(SPELLER, DIRECTORIES) == DIRECTORIES
    others = other_spellers(SPELLER, DIRECTORIES)
    assert others.pop("trainables/models/backbones.py", set()) <= {"checkpoints"}  # of torch.hub
    assert others == {}


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
        runs.outcome_file(B),
        runs.outcome_file(A),
        runs.outcome_file(A).with_name(temporary_name(f"{A}.json")),
        runs.score_file(A, V1),
        runs.score_file(B, EBA),
        runs.score_file(B, f".{EBA}"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert runs.trial_ids() == [A, B]
    assert runs.score_files() == [runs.score_file(A, V1), runs.score_file(B, EBA)]
    assert runs.score_files(B) == [runs.score_file(B, EBA)]
    assert runs.has_scores(["c-00000000", B])
    assert not runs.has_scores(["c-00000000"])


def test_what_killed_workers_left_in_scratch_is_removed(tmp_path: Path) -> None:
    runs = RunDirectory(tmp_path)
    left = runs.scratch / "features-x7k2"
    left.mkdir(parents=True)
    (left / "0.f32").write_bytes(b"features")
    file = ScratchFile(runs.scratch, 8)
    assert runs.remove_abandoned() == [left]
    assert not runs.scratch.exists()
    file.write(b"in use", 0)
    assert ScratchFile(runs.scratch, 8).fileno() > 0
    assert runs.remove_abandoned() == []
