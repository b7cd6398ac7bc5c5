"""The paths of a sweep's directory are spelled in one module, and S3 is asked in few."""

from pathlib import Path

from tests.builders.spelled_paths import HOME, PRODUCT, other_spellers, spelled
from trainables.results.run_directory import RunDirectory
from trainables.spec import Roi, Trial, Untuned
from trainables.storage import s3_mirror
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


def test_the_layout_is_the_documented_one() -> None:
    runs = RunDirectory(Path("runs"))
    searches = "hyperparameter_search"
    layout = {
        runs.outcome_file(A): f"trials/{A}.json",
        runs.log_file(A): f"logs/{A}.jsonl",
        runs.score_file(A, V1): f"scores/{A}/{V1}.parquet",
        runs.prediction_file(A, V1): f"predictions/{A}/{V1}.parquet",
        runs.checkpoints(B).path: f"checkpoints/{B}",
        runs.checkpoints(B, of_search=True).path: f"{searches}/checkpoints/{B}",
        runs.search("0123abcd").path: f"{searches}/0123abcd",
        runs.probe_file("landscape", B): f"probes/landscape/{B}.parquet",
        runs.head_file("logistic", B): f"probes/logistic/{B}.safetensors",
        runs.analysis_file("layers"): "analyses/layers.parquet",
        runs.missing_file("layers"): "analyses/layers.missing.json",
        runs.report: "report.html",
        runs.scratch: "scratch",
        runs.lock_file(7): "operation/lock-000007.json",
        runs.cancel_file: "operation/cancel",
        runs.command_file: "operation/command.json",
        runs.identity_file: "operation/identity.json",
        runs.running_file: "operation/running.json",
    }
    assert {path: path.relative_to("runs").as_posix() for path in layout} == layout
    assert runs.resolved() == RunDirectory(Path.cwd() / "runs")


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


def test_what_no_result_is_named_like_is_a_stranger(tmp_path: Path) -> None:
    runs = RunDirectory(tmp_path)
    probes = [runs.probe_file("landscape", A), runs.head_file("landscape", A)]
    results = [
        *(runs.score_file(A, V1), runs.prediction_file(A, V1), runs.outcome_file(A)),
        *(runs.log_file(A), runs.checkpoints(A).path / "note.json", *probes),
    ]
    strangers = [
        *(runs.all_scores / "copy", runs.scores(A) / "a.csv", runs.score_file(A, f"{EBA} (1)")),
        *(tmp_path / "predictions" / "copy", runs.prediction_file(A, "x").with_suffix(".csv")),
        *(
            runs.outcome_file("x"),
            runs.outcome_file("aé-0123abcd"),
            runs.outcome_file(A).with_suffix(".bak"),
            runs.log_file("x"),
        ),
        *(runs.all_checkpoints / "old", runs.probe_file("landscape", A).with_suffix(".png")),
    ]
    for path in (*results, *strangers):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "probes" / "notes.txt").touch()  # the directory of a kind is anyone's
    assert sorted(runs.strangers()) == sorted(strangers)


def test_a_trial_s_small_files_are_fetched(tmp_path: Path, monkeypatch) -> None:
    runs, asked = RunDirectory(tmp_path), []
    trial = Trial(Untuned(), (Roi("nsd", "subj01", "lh", "V1v", 4, "0123abcd"),))
    monkeypatch.setattr(s3_mirror, "pull_file", lambda path, check: asked.append(path))
    monkeypatch.setattr(s3_mirror, "pull", lambda path, **which: asked.append((path, *which)))
    runs.fetch_trial(trial)
    assert asked == [
        *(
            runs.outcome_file(trial.id),
            runs.log_file(trial.id),
            (runs.scores(trial.id), "skip", "check"),
        ),
        (runs.checkpoints(trial.training_id).path, "skip", "prune"),
    ]


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
