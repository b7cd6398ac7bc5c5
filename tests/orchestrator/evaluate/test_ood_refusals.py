"""Models and NSD-synthetic that do not fit each other: left out, or refused in a line."""

import json
import shutil
from pathlib import Path

import pytest

from orchestrator.encoding_models.config import CONFIG
from orchestrator.evaluate import __main__ as evaluate
from orchestrator.evaluate.ood import run as ood_run
from tests.builders.exported_models import Swept
from tests.builders.synthetic_shards import CLASSES, edit_manifest, evaluate_ood, write_classes
from trainables.data.data_directory import class_ceilings_file, stimuli_file, vertices_file


def test_subjects_without_the_data_are_left_out(
    swept: Swept, synthetic: Path, tmp_path: Path, capsys
) -> None:
    models = tmp_path / "models"
    shutil.copytree(swept.model(swept.untuned, "rh-EBA"), models / "model")
    shutil.copytree(models / "model", models / "other")
    edit_config(models / "other", roi={"subject": "subj07"}, name="nsd-subj07-rh-EBA-0123abcd")
    assert evaluate_ood(models, synthetic, tmp_path / "runs") == 0
    shown = capsys.readouterr().out
    assert "left out: 1 model of subj07, whose NSD-synthetic is not in" in shown
    assert "1 model scored on NSD-synthetic, of which 1 now" in shown


def _of_all_images(model: Path, data: Path) -> None:
    edit_config(model, fit="all")


def _of_another_data_set(model: Path, data: Path) -> None:
    edit_config(model, roi={"dataset": "nod"})


def _simulated(model: Path, data: Path) -> None:
    edit_config(model, is_simulated=True)


def _other_size(model: Path, data: Path) -> None:
    edit_config(model, preprocessing={"image_size": 32})


def _other_filter(model: Path, data: Path) -> None:
    edit_config(model, preprocessing={"resize": "bicubic, antialiased (Pillow)"})


def _other_vertices(model: Path, data: Path) -> None:
    edit_config(model, vertices={"vertex": [1, 2, 3, 4, 5, 6, 7, 8]})


def _other_places(model: Path, data: Path) -> None:
    edit_config(model, vertices={"fsaverage": [9, 1, 2, 3, 4, 5, 6, 7]})


def _other_subject(model: Path, data: Path) -> None:
    shutil.rmtree(data / "nsdsynthetic-subj01")


def _no_classes(model: Path, data: Path) -> None:
    stimuli_file(data / "nsdsynthetic-subj01").unlink()
    edit_manifest(data / "nsdsynthetic-subj01")


def _no_ceilings(model: Path, data: Path) -> None:
    class_ceilings_file(data / "nsdsynthetic-subj01").unlink()
    edit_manifest(data / "nsdsynthetic-subj01")


def _other_stimuli(model: Path, data: Path) -> None:
    write_classes(data / "nsdsynthetic-subj01", [f"other-{k}" for k in range(len(CLASSES))])


def _damaged_vertices(model: Path, data: Path) -> None:
    with vertices_file(data / "nsdsynthetic-subj01").open("ab") as file:
        file.write(b"0")


def edit_config(model: Path, **changes) -> None:
    path = model / CONFIG
    content = json.loads(path.read_text())
    for name, value in changes.items():
        content[name] = {**content[name], **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_of_all_images, "a model of --fit all, whose r of NSD's test images is that of another"),
        (_of_another_data_set, "a model of nod, expected one of nsd; move it out of --models"),
        (_simulated, "a model of simulated responses, but"),
        (_other_size, "has 16 x 16 pixels; ingest it again with --image-size 16,32"),
        (_other_filter, "ingest it again with --image-size 16 --interpolation bicubic"),
        (_other_vertices, "which are not those of"),
        (_other_places, "which are not those of"),
        (_other_subject, "holds no NSD-synthetic of subj01, whose models these are; run"),
        (_no_classes, "stimuli.parquet: expected in its manifest"),
        (_no_ceilings, "class_ceilings.parquet: expected in its manifest"),
        (_other_stimuli, "stimuli.parquet: expected the stimuli of its rows, found others"),
        (_damaged_vertices, "vertices.parquet: damaged or of another ingest"),
    ],
)
def test_bad_input_is_refused_in_a_line(
    model_copy: Path, synthetic: Path, tmp_path: Path, capsys, monkeypatch, damage, message
) -> None:
    """Before any image is passed through a backbone."""
    monkeypatch.setattr(ood_run, "predict_images", lambda *_: pytest.fail("images were predicted"))
    data, runs = tmp_path / "shards" / "data", tmp_path / "runs"
    shutil.copytree(synthetic, data)
    damage(model_copy, data)
    assert evaluate_ood(model_copy, data, runs) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert message in shown
    assert shown.count("\n") == 1, shown
    assert not runs.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "nowhere"], "nowhere: no such directory; run python -m orchestrator.export"),
        (["--models", "."], ".: holds no encoding model; run python -m orchestrator.export"),
        (["--models", ".", "--export", "a.txt"], "--export a.txt: expected a name that ends in"),
    ],
)
def test_bad_options_are_refused_in_a_line(
    tmp_path: Path, monkeypatch, capsys, arguments, message
) -> None:
    monkeypatch.chdir(tmp_path)
    assert evaluate.main(["ood", *arguments]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {message}")
    assert shown.count("\n") == 1, shown
