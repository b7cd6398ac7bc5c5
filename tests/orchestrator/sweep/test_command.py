"""The sweep's command line: bad input is one clear line and code 2, and leaves nothing behind."""

import json
from collections.abc import Callable

import pytest
import torch
from safetensors.torch import save_file

from benchmarks.small_shards import write_shards
from tests.builders.sweep_command import SPACE, command, contents, refusal
from trainables.data.data_directory import MANIFEST, DataDirectory
from trainables.data.shards import list_rois
from trainables.models.weights_name import weights_name
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.spec import Backbone, Contrastive, Encoding, Trial


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            command(space="papre"),
            "no search space 'papre'; expected one of controls, controls_demo, demo, hyper",
        ),
        (command(space="absent.py"), "absent.py: no such search space"),
        (command("--data", "nowhere"), "nowhere: no ingested subject found (expected SUBJECT/"),
        (command("--data", "space.py"), "space.py: no ingested subject found"),
        (command("--rois", "V9"), "--rois: unknown 'V9'; expected early, higher, streams"),
        (command("--rois", ""), "--rois: unknown ''"),
        (command("--subjects", "7"), "--subjects: 7 not in the data, which has subj01"),
        (command("--hemispheres", "left"), "--hemispheres 'left': expected lh, rh or lh,rh"),
        (command("--hemispheres", ""), "--hemispheres ''"),
        (command("--rois", "RSC"), "--subjects, --hemispheres, --rois: no ROI of the data matches"),
        (command(weights="absent.pt"), "absent.pt: no such file; give --weights a state dict"),
        (
            command("--workers-per-trial", "2", "--gpus-per-trial", "0.5"),
            "--gpus-per-trial 0.5: workers that share a trial need a GPU each",
        ),
        (command("--retries", "-1"), "--retries '-1': expected an integer of 0 or more"),
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
        (
            ["--gpus-per-trial", "1.5"],
            "'1.5': expected 0, a share below 1, or a whole number of GPUs",
        ),
        (["--gpus-per-trial", "-1"], "'-1': expected 0"),
        (["--gpus-per-trial", "nan"], "'nan': expected 0"),
        (["--gpus-per-trial", "inf"], "'inf': expected 0"),
        (["--gpus-per-trial", "many"], "'many': expected 0"),
        (["--cpus-per-trial", "0"], "'0': expected an integer above 0"),
        (["--workers-per-trial", "0"], "'0': expected an integer above 0"),
        (["--max-concurrent", "none"], "'none': expected an integer above 0"),
        (["--subjects", "1-"], "--subjects '1-': expected numbers and ranges"),
        (["--subjects", "5-1"], "is not a range within 1 to 999"),
        (["--retries", "x"], "--retries 'x': expected an integer of 0 or more"),
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
            "--share-gpus chooses the share; give only one of the two",
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
    assert "tiny does not accept images of 16 x 16 pixels" in shown


def test_weights_that_cannot_be_downloaded_are_reported_with_the_cure(
    home, capsys, monkeypatch
) -> None:
    from torchvision.models import AlexNet_Weights

    def offline(weights, **_):
        raise OSError("Name or service not known")

    monkeypatch.setattr(AlexNet_Weights, "get_state_dict", offline)
    arguments = ["paper", "--data", "data", "--out", "runs"]
    shown = refusal(arguments, home, capsys)
    assert "could not be downloaded (Name or service not known)" in shown
    assert "--weights FILE" in shown


def test_a_damaged_outcome_is_refused_by_name(home, capsys) -> None:
    backbone = Backbone("tiny", weights_name(home / "weights.safetensors"))
    roi = list_rois(DataDirectory(home / "data"))[0]
    trial = Trial(Contrastive(epochs=2), (roi,), backbone, Encoding(layers=("1",)))
    Outcome(trial, "finished", "", "cpu", 0.0, {}).write(RunDirectory(home / "runs"))
    path = RunDirectory(home / "runs").outcome_file(trial.id)
    path.write_text("{")
    assert f"{path.name}: not JSON" in refusal(command(), home, capsys)
