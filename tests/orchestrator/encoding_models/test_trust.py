"""Models whose backbone is of a user's file: their code is run where it is trusted."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZipFile

import numpy as np
import pytest
import torch

from orchestrator.analyze.__main__ import main as analyze
from orchestrator.cli.errors import InputError
from orchestrator.cli.trust import remember, require_consent
from orchestrator.encoding_models import EncodingModel, get_encoding_model, load_model
from orchestrator.encoding_models.config import ModelDirectory, find_models
from orchestrator.encoding_models.shared_backbone import SharedBackbone, by_backbone
from orchestrator.encoding_models.trust import require_trust
from orchestrator.evaluate.__main__ import main as evaluate
from orchestrator.evaluate.ood import run as ood_run
from orchestrator.export.__main__ import main as export
from orchestrator.predict import run as predict_run
from orchestrator.predict.__main__ import main as predict
from orchestrator.predict.passes import LocalPass
from orchestrator.submit import challenge_files
from orchestrator.submit.__main__ import main as submit
from tests.builders.challenge_folder import LABELS, N_TEST, change_model, write_source
from tests.builders.own_network import (
    CODE,
    HALVES,
    OwnModel,
    executed,
    export_own_model,
    forget_executed,
)
from tests.orchestrator.predict.test_ray_pass import StepsOfRay
from trainables.data.loading import read_images
from trainables.results.run_directory import RunDirectory
from trainables.spec import Backbone
from trainables.spec.backbone import source_digest

CPU = torch.device("cpu")
REFUSED = "the backbone is code, which loading runs; read it in config.json"
CURE = "give --trust-code, or in Python trust_code=True"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> OwnModel:
    return export_own_model(tmp_path_factory.mktemp("own"))


@pytest.fixture(autouse=True)
def nothing_executed(own: OwnModel) -> None:
    forget_executed()


CALLS: dict[str, Callable[[OwnModel, bool], EncodingModel]] = {
    "load_model": lambda own, trust: load_model(own.path, trust_code=trust),
    "from_pretrained": lambda own, trust: EncodingModel.from_pretrained(own.path, trust_code=trust),
    "get_encoding_model": lambda own, trust: get_encoding_model(
        own.models, 1, "V1v", "lh", "cpu", trust_code=trust
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_python_calls_run_the_code_where_it_is_trusted(own: OwnModel, call: str) -> None:
    with pytest.raises(ValueError, match=REFUSED) as refused:
        CALLS[call](own, False)
    assert str(refused.value).endswith(CURE)
    assert not executed()
    model = CALLS[call](own, True)
    assert len(executed()) == 1
    assert model.config.preprocessing.scale == HALVES
    images = read_images(own.images, CPU)
    assert model.predict(images).std(axis=0).min() > 0.01


@pytest.mark.parametrize("place", ["process", "ray"])
def test_predict_runs_the_code_where_it_is_trusted(
    own: OwnModel, place: str, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    passes: list[LocalPass] = []

    def choose_pass(settings: object, n: int) -> LocalPass:
        passes.append(StepsOfRay(CPU) if place == "ray" else LocalPass(CPU))
        return passes[-1]

    monkeypatch.setattr(predict_run, "choose_pass", choose_pass)
    out = tmp_path / "out.npy"
    arguments = [str(own.models), "--images", str(own.images), "--out", str(out)]
    assert predict(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"{own.path} (small.py:build@" in line
    assert REFUSED in line
    assert line.endswith(CURE)
    assert not executed()
    assert not passes  # no Ray is started for it
    assert not list(tmp_path.iterdir())
    assert predict([*arguments, "--trust-code"]) == 0
    expected = load_model(own.path, trust_code=True).predict(read_images(own.images, CPU))
    np.testing.assert_allclose(np.load(out), expected, rtol=1e-4, atol=1e-5)


def test_submit_runs_the_code_where_it_is_trusted(
    own: OwnModel, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    n = n_vertices(own)
    source, models = tmp_path / "src", tmp_path / "models"
    labels = {mask: [1] * n for mask in LABELS}
    images, _ = write_source(source, all_labels=labels)
    for side in ("lh", "rh"):
        shutil.copytree(own.path, models / side)
        change_model(models / side, name=side)
        change_model(models / side, "roi", hemisphere=side)
    counts = challenge_files.Counts(N_TEST, {"lh": n, "rh": n})
    monkeypatch.setattr(challenge_files, "COUNTS", {"subj01": counts})
    out = tmp_path / "submission.zip"
    arguments = ["algonauts", "--models", str(models), "--src", str(source), "--out", str(out)]
    assert submit(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert REFUSED in line
    assert line.endswith(CURE)
    assert not executed()
    assert not out.exists()
    assert submit([*arguments, "--trust-code"]) == 0
    expected = load_model(own.path, trust_code=True).predict(sorted(images.iterdir()))
    with ZipFile(out) as archive, archive.open("subj01/rh_pred_test.npy") as member:
        np.testing.assert_allclose(np.load(member), expected, rtol=1e-4, atol=1e-5)


def n_vertices(own: OwnModel) -> int:
    """Return the number of a model's vertices, which are the first of its hemisphere."""
    [model] = find_models(own.models)
    assert list(model.config.vertices.vertex) == list(range(model.config.roi.n_vertices))
    return model.config.roi.n_vertices


def test_models_of_equal_weights_and_other_code_pass_apart(own: OwnModel, tmp_path: Path) -> None:
    """Both are named in one line where neither is trusted."""
    code = CODE.replace("nn.Conv2d(3", "Squared(3")
    code += (
        "class Squared(nn.Conv2d):\n    forward = lambda self, x: nn.Conv2d.forward(self, x) ** 2\n"
    )
    shutil.copytree(own.path, tmp_path / "one")
    path = Path(shutil.copytree(own.path, tmp_path / "other")) / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    name = f"small.py:build@{source_digest(code)}"
    content["trial"]["backbone"] |= {"source": code, "architecture": name}
    content["architecture"] = name
    path.write_text(json.dumps(content), encoding="utf-8")
    found = find_models(tmp_path, trust_code=True)
    images = read_images(own.images, CPU)[:3]
    predicted = [SharedBackbone(group, CPU).predict(images) for group in by_backbone(found)]
    assert len(predicted) == 2
    for model, [values] in zip(found, predicted, strict=True):
        expected = load_model(model.path, trust_code=True).predict(images)
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(predicted[0][0] - predicted[1][0]).max() > 0.01
    with pytest.raises(ValueError, match=rf"one \(small.py.*, {path.parent} \({name}\): the back"):
        require_trust(find_models(tmp_path))


def test_the_card_of_such_a_model_loads_it(own: OwnModel) -> None:
    text = (own.path / "README.md").read_text(encoding="utf-8")
    assert f'load_model("{own.path.name}", trust_code=True)' in text


def analyze_as_if_due(arguments: list[str]) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestrator.analyze.probe_actors.due", lambda *given: ["a probe"])
        return analyze(arguments)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (export, ["--runs", "runs", "--data", "data", "--out", "others", "--weights", "w"]),
        (export, ["--runs", "runs", "--data", "data", "--out", "o", "--format", "brainscore"]),
        (evaluate, ["rois", "--models", "regression", "--data", "data", "--out", "runs"]),
        (analyze_as_if_due, ["saliency", "--data", "data", "--out", "runs"]),
    ],
)
def test_code_of_a_run_directory_is_run_where_its_user_has_run_it(
    own: OwnModel, command, arguments, tmp_path: Path, monkeypatch, capsys
) -> None:
    """A directory of another machine is refused; nothing is built, or written."""
    monkeypatch.chdir(own.home)
    monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path / "of another machine"))
    before = sorted(own.home.rglob("*"))
    assert command(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "the backbone small.py:build@" in line
    assert line.endswith("if you trust it, give --trust-code")
    assert not executed()
    assert sorted(own.home.rglob("*")) == before
    remember(CODE)
    with pytest.raises(InputError, match="small"):
        require_consent(
            backbones_of(own, CODE + "\n"), RunDirectory(Path("runs")), trust_code=False
        )
    require_consent(backbones_of(own, CODE + "\n"), RunDirectory(Path("runs")), trust_code=True)
    require_consent(backbones_of(own, CODE), RunDirectory(Path("runs")), trust_code=False)


def backbones_of(own: OwnModel, code: str) -> list[Backbone]:
    [model] = find_models(own.models)
    name = f"small.py:build@{source_digest(code)}"
    return [replace(model.backbone, architecture=name, source=code)]


def test_evaluate_ood_refuses_the_code_unless_it_is_trusted(
    own: OwnModel, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def match(found: list[ModelDirectory], data: object) -> tuple[list[SimpleNamespace], list[str]]:
        return [SimpleNamespace(models=found)], []

    def score(matched: SimpleNamespace, runs: object, device: object) -> int:
        raise InputError(f"trusted: {[one.trust_code for one in matched.models]}")

    monkeypatch.setattr(ood_run, "match_models", match)
    monkeypatch.setattr(ood_run, "_score", score)
    places = ["--data", str(own.home / "data"), "--out", str(own.home / "runs")]
    for given, message in (([], CURE), (["--trust-code"], "trusted: [True]")):
        assert evaluate(["ood", "--models", str(own.models), *places, *given]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.endswith(message)
    assert not executed()
