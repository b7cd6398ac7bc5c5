"""The sweep's command line: bad input is one clear line and code 2, and leaves nothing behind."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from benchmarks.small_shards import write_shards, write_weights
from orchestrator.sweep import __main__ as sweep
from trainables.data.shards import MANIFEST, list_rois
from trainables.models import backbones
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.spec import Backbone, Contrastive, Encoding, Trial

SPACE = """\
from trainables.spec import FROM_FILE, Contrastive, Encoding, Trial, Backbone

ENCODING = Encoding(layers=("1",))

def trials(rois):
    for roi in rois:
        yield Trial(Contrastive(epochs=2), (roi,), Backbone("tiny", FROM_FILE), ENCODING)
"""


def tiny_backbone() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 4))


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A working directory with data/, space.py and weights.safetensors."""
    monkeypatch.setitem(backbones.OWN_ARCHITECTURES, "tiny", tiny_backbone)
    write_shards(tmp_path / "data")
    (tmp_path / "space.py").write_text(SPACE)
    save_file(tiny_backbone().state_dict(), tmp_path / "weights.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(directory: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(directory.rglob("*"))}


def command(*more: str, space: str = "space.py", weights: str = "weights.safetensors") -> list[str]:
    return [space, "--data", "data", "--out", "runs", "--weights", weights, *more]


def refusal(arguments: list[str], home: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must be refused; return its one line."""
    before = contents(home)
    assert sweep.main(arguments) == 2
    assert contents(home) == before
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert shown.count("\n") == 1, shown
    return shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            command(space="papre"),
            "no search space 'papre'; expected one of demo, hyperparameter_search",
        ),
        (command(space="absent.py"), "absent.py: no such search space"),
        (command("--data", "nowhere"), "nowhere: no ingested subject found (expected SUBJECT/"),
        (command("--data", "space.py"), "space.py: no ingested subject found"),
        (command("--rois", "V9"), "rois: unknown 'V9'; expected early, higher, streams"),
        (command("--rois", ""), "rois: unknown ''"),
        (command("--subjects", "7"), "subjects: 7 not in the data, which has subj01"),
        (command("--hemispheres", "left"), "--hemispheres 'left': expected lh, rh or lh,rh"),
        (command("--hemispheres", ""), "--hemispheres ''"),
        (command("--rois", "RSC"), "no ROI of the data is in the chosen"),
        (command(weights="absent.pt"), "absent.pt: no such file; give --weights a state dict"),
        (
            command("--workers-per-trial", "2", "--gpus-per-trial", "0.5"),
            "--gpus-per-trial 0.5: workers that share a trial need a GPU each",
        ),
        (command("--retries", "-1"), "--retries -1: expected 0 or more"),
        (command("--hemispheres", "rh", space="demo"), "yielded no trial for the chosen ROIs"),
        (command("--out", "space.py"), "Not a directory"),
    ],
)
def test_a_command_that_cannot_be_meant_is_refused_in_one_line(
    home, capsys, arguments, message
) -> None:
    assert message in refusal(arguments, home, capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpus-per-trial", "1.5"], "'1.5': expected 0, a share below 1, or whole GPUs"),
        (["--gpus-per-trial", "-1"], "'-1': expected 0"),
        (["--gpus-per-trial", "nan"], "'nan': expected 0"),
        (["--gpus-per-trial", "inf"], "'inf': expected 0"),
        (["--gpus-per-trial", "many"], "'many': expected 0"),
        (["--cpus-per-trial", "0"], "'0': expected a whole number above 0"),
        (["--workers-per-trial", "0"], "'0': expected a whole number above 0"),
        (["--max-concurrent", "none"], "'none': expected a whole number above 0"),
        (["--subjects", "1-"], "--subjects '1-': expected numbers and ranges"),
        (["--subjects", "5-1"], "is no range of 1 to 999"),
        (["--retries", "x"], '--retries: unable to convert "x" into int'),
        (
            ["--precision", "float64"],
            '"float64" for --precision. Choose from: "float32"',
        ),
        (["--learning-rate", "1"], "Unknown option: --learning-rate."),
    ],
)
def test_a_flag_that_cannot_be_read_is_refused_in_one_line(
    home, capsys, arguments, message
) -> None:
    before = contents(home)
    assert message in refusal(command(*arguments), home, capsys)
    assert contents(home) == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--share-gpus", "--gpus-per-trial", "0.5"),
            "--share-gpus chooses the share; give one of the two",
        ),
        (("--share-gpus", "--workers-per-trial", "2"), "need a GPU each; give one of the two"),
    ],
)
def test_sharing_gpus_excludes_what_it_would_contradict(home, capsys, flags, message) -> None:
    assert message in refusal(command(*flags), home, capsys)


def test_workers_that_share_a_trial_finetune_in_float32(home, capsys) -> None:
    flags = command("--precision", "bfloat16", "--workers-per-trial", "2")
    assert "sum their statistics in float32; give one of the two" in refusal(flags, home, capsys)


def other_version(manifest: str) -> str:
    return json.dumps({**json.loads(manifest), "schema_version": 99})


def without_a_field(manifest: str) -> str:
    content = json.loads(manifest)
    del content["n_images"]
    return json.dumps(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (other_version, "schema version 99, this program reads 1; remove"),
        (lambda text: text[:100], "not JSON"),
        (lambda text: "[]", "expected an object"),
        (lambda text: "", "not JSON"),
        (without_a_field, "n_images: missing"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused_by_name(
    home, capsys, damage: Callable[[str], str], message
) -> None:
    path = home / "data" / "nsd-subj01" / MANIFEST
    path.write_text(damage(path.read_text()))
    shown = refusal(command(), home, capsys)
    assert f"data/nsd-subj01/{MANIFEST}: {message}" in shown
    assert "ingest" in shown


def test_weights_that_do_not_fit_are_refused_before_anything_runs(home, capsys) -> None:
    save_file({"features.0.weight": torch.zeros(1)}, home / "small.safetensors")
    shown = refusal(command(weights="small.safetensors"), home, capsys)
    assert "small.safetensors: does not fit tiny" in shown


def test_weights_that_are_no_state_dict_are_refused(home, capsys) -> None:
    (home / "model.pt").write_bytes(b"junk")
    assert "model.pt: not a readable state dict" in refusal(
        command(weights="model.pt"), home, capsys
    )


def test_a_space_that_needs_weights_is_refused_without(home, capsys) -> None:
    arguments = ["space.py", "--data", "data", "--out", "runs"]
    assert "from a file; give --weights FILE" in refusal(arguments, home, capsys)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("def trials(rois):", "def trials(rois)", "space.py: could not be loaded: SyntaxError"),
        ("epochs=2", "epochs=0", "epochs: expected a value of at least 1, found 0 (line 7)"),
        (
            "epochs=2",
            "epochs='two'",
            "Contrastive.epochs: expected an integer, found 'two' (line 7)",
        ),
        ('"tiny"', '"alexent"', "unknown backbone 'alexent'"),
        ('layers=("1",)', 'layers=("fc9",)', "unknown layers ['fc9']; this"),
    ],
)
def test_a_faulty_space_is_refused_before_anything_runs(home, capsys, old, new, message) -> None:
    (home / "space.py").write_text(SPACE.replace(old, new))
    assert message in refusal(command(), home, capsys)


def test_images_too_small_for_the_backbone_are_refused(home, capsys) -> None:
    write_shards(home / "small", image_size=16)
    shown = refusal(command("--data", "small"), home, capsys)
    assert "tiny does not take images of 16 x 16 pixels" in shown


def test_weights_that_cannot_be_downloaded_are_reported_with_the_cure(
    home, capsys, monkeypatch
) -> None:
    from torchvision.models import AlexNet_Weights

    def offline(weights, progress):
        raise OSError("Name or service not known")

    monkeypatch.setattr(AlexNet_Weights, "get_state_dict", offline)
    arguments = ["paper", "--data", "data", "--out", "runs"]
    shown = refusal(arguments, home, capsys)
    assert "could not be downloaded (Name or service not known)" in shown
    assert "--weights FILE" in shown


def test_a_damaged_outcome_is_refused_by_name(home, capsys) -> None:
    backbone = Backbone("tiny", backbones.weights_name(home / "weights.safetensors"))
    roi = list_rois(home / "data")[0]
    trial = Trial(Contrastive(epochs=2), (roi,), backbone, Encoding(layers=("1",)))
    Outcome(trial, "finished", "", "cpu", 0.0, {}).write(RunDirectory(home / "runs"))
    path = RunDirectory(home / "runs").outcome_file(trial.id)
    path.write_text("{")
    assert f"{path.name}: not JSON" in refusal(command(), home, capsys)


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


def test_a_dry_run_of_the_demonstration_s_space_on_other_data_makes_no_demonstration(
    home, capsys
) -> None:
    write_weights(home / "narrow.safetensors")
    before = contents(home)
    assert sweep.main(command("--dry-run", space="demo", weights="narrow.safetensors")) == 0
    assert "7 trials" in capsys.readouterr().out
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
        (SEARCH, ("--keep-every-epoch",), "a search keeps no weights"),
        (SEARCH, ("--precision", "bfloat16"), "a search fine-tunes in float32"),
        (SEARCH, ("--deterministic",), "--deterministic: a search finds settings"),
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
