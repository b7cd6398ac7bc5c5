"""The steps of a prediction over Ray, one after another in this process, without Ray."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from orchestrator.encoding_models.config import READOUT, find_models
from orchestrator.encoding_models.shared_backbone import by_backbone
from orchestrator.predict import run
from orchestrator.predict.batch_rows import read_predictions_row
from orchestrator.predict.image_batches import ImageSource
from orchestrator.predict.passes import Group, LocalPass, PredictedBatch, resizing_of
from orchestrator.predict.ray_pass import Actors, Predictor, RayPass, pack_tasks, read_tasks
from orchestrator.predict.run import WORTH_RAY, PredictSettings, choose_pass
from orchestrator.predict.sources import open_source
from tests.builders.exported_models import Swept
from tests.orchestrator.predict.test_predict import BATCH, N_IMAGES, images, predict
from trainables.spec.interpolation import Resizing

__all__ = ["images"]
CPU = torch.device("cpu")


class StepsOfRay(LocalPass):
    """Reads and predicts as Ray's tasks and actors do, in another order."""

    def run(
        self, groups: Sequence[Group], source: ImageSource, rows: Sequence[range]
    ) -> Iterator[PredictedBatch]:
        predictor = Predictor(groups, "cpu", torch.get_num_threads())
        widths = [[model.config.roi.n_vertices for model in group] for group in groups]
        items = pack_tasks(source.tasks(rows, resizing_of(groups[0])))
        for item in reversed(items):
            table = read_tasks(pa.table({"tasks": [item["tasks"]]}))
            for k in reversed(range(table.num_rows)):
                row = predictor(table.slice(k, 1))
                yield read_predictions_row(row, widths)


def over_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "choose_pass", lambda settings, n: StepsOfRay(CPU))


@pytest.mark.parametrize("kind", ["folder", "shards"])
def test_tasks_and_actors_predict_as_one_process(
    swept: Swept, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Bit for bit; batches come in any order, and one image can't be read."""
    (images / "image-033.png").write_bytes(b"no image")
    source = images if kind == "folder" else swept.home / "data" / "nsd-subj01"
    code = int(kind == "folder")
    assert predict(swept, source, tmp_path / "local.npy") == code
    over_ray(monkeypatch)
    assert predict(swept, source, tmp_path / "ray.npy") == code
    found, expected = (np.load(tmp_path / f"{name}.npy") for name in ("ray", "local"))
    np.testing.assert_array_equal(found, expected)
    assert np.isnan(found).any() == bool(code)
    for suffix in (".json", ".npy.unreadable.txt")[: 1 + code]:
        texts = {(tmp_path / f"{name}{suffix}").read_text("utf-8") for name in ("ray", "local")}
        assert len(texts) == 1


def test_what_fails_on_a_node_is_one_line_and_nothing_is_written(
    swept: Swept, images: Path, model_copy: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    over_ray(monkeypatch)
    whole = (model_copy / READOUT).read_bytes()
    (model_copy / READOUT).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    before = sorted(tmp_path.iterdir())
    assert predict(swept, images, tmp_path / "out.npy", model_copy) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "readout.safetensors: its content has changed" in line
    assert sorted(tmp_path.iterdir()) == before


def test_a_node_without_the_images_is_an_error_not_a_list_of_unreadable_images(
    swept: Swept, images: Path
) -> None:
    groups = by_backbone(find_models(swept.model(swept.tuned, "lh-V1v")))
    source = open_source(images)
    source.tasks([range(3)], Resizing(16))[0].read()
    images.rename(images.with_name("elsewhere"))
    with pytest.raises(ValueError, match=r"images: no such folder; .* --local \(on "):
        list(StepsOfRay(CPU).run(groups, source, [range(BATCH), range(BATCH, N_IMAGES)]))


def test_damaged_shards_are_refused(
    swept: Swept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    shard = Path(shutil.copytree(swept.home / "data" / "nsd-subj01", tmp_path / "nsd-subj01"))
    [rows] = shard.glob("rows-*")
    content = bytearray(rows.read_bytes())
    content[len(content) // 2] ^= 1
    rows.write_bytes(content)
    assert predict(swept, shard, tmp_path / "out.npy") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"{rows.name}: damaged or of another ingest" in line
    assert [path.name for path in tmp_path.iterdir()] == [shard.name]


CHOICES = {
    "few images": ({}, WORTH_RAY - 1, "", "local"),
    "many images": ({}, WORTH_RAY, "", "ray"),
    "many images, --local": ({"local": True}, WORTH_RAY, "", "local"),
    "few images, a cluster": ({}, 1, "10.0.0.1:6379", "ray"),
    "few images, a cluster, --local": ({"local": True}, 1, "10.0.0.1:6379", "local"),
    "few images, two GPUs": ({"gpus": 2}, 1, "", "ray"),
}


@pytest.mark.parametrize("case", CHOICES)
def test_ray_is_started_where_it_is_worth_it(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options, n_images, address, expected = CHOICES[case]
    monkeypatch.setenv("RAY_ADDRESS", address)
    connected = RayPass(Actors(1, "cpu"))
    monkeypatch.setattr(RayPass, "connect", lambda gpus: connected)
    settings = PredictSettings(Path("models"), Path("images"), Path("out.npy"), **options)
    assert (choose_pass(settings, n_images) is connected) == (expected == "ray")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--local", "--gpus", "2"], "with --local, one process predicts on one device"),
        (["--gpus", "1"], "torch finds no GPU on this machine; leave --gpus out"),
        (["--gpus", "-1"], "expected an integer"),
    ],
)
def test_impossible_devices_are_refused(
    swept: Swept, images: Path, tmp_path: Path, monkeypatch, capsys, options, message
) -> None:
    from orchestrator.predict.__main__ import main

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    arguments = [str(swept.models), "--images", str(images), "--out", str(tmp_path / "out.npy")]
    assert main([*arguments, *options]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
