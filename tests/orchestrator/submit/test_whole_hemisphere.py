"""A submission with models of whole hemispheres: every vertex is predicted, and scored by hand."""

from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.small_shards import N_VERTICES, ROIS
from orchestrator.encoding_models import load_model
from orchestrator.export.__main__ import main as export
from orchestrator.submit import challenge_files
from tests.builders.challenge_folder import (
    N_TEST,
    ChallengeFolder,
    submit,
    write_source,
    write_test_responses,
)
from tests.builders.exported_models import QUICK, WIDE
from tests.builders.transfer_shards import TransferLab, narrow_backbone, weights_on, write_subjects
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import list_rois
from trainables.models import backbones
from trainables.spec import Untuned

MODELS = ("lh-V1v", "lh-all", "rh-all")


def labels(side: str, roi_name: str) -> list[int]:
    return [int(k in ROIS[side].get(roi_name, ())) for k in range(N_VERTICES[side])]


def write_folder(home: Path) -> ChallengeFolder:
    stimuli = {"subj01": (range(100), range(200, 240))}
    write_subjects(home / "data", {"subj01": weights_on(range(4))}, stimuli)
    lab = TransferLab.open(home)
    rois = list_rois(DataDirectory(home / "data"), whole=True)
    trials = (
        lab.trial(QUICK, lab.roi(1)),
        lab.trial(Untuned(), *(roi for roi in rois if roi.name == "all"), encoding=WIDE),
    )
    for trial in trials:
        lab.run(trial)
    places = [f"--{name}={home / name}" for name in ("runs", "data")]
    arguments = [*places, f"--weights={home / 'weights.pt'}", f"--out={home / 'models'}"]
    assert export(arguments) == 0
    families = {"prf-visualrois": "V1v", "floc-bodies": "EBA", "streams": "early"}
    masks = {
        (side, family): labels(side, name)
        for side in N_VERTICES
        for family, name in families.items()
    }
    images, folder = write_source(home / "src", all_labels=masks)
    models = {key: next((home / "models").glob(f"nsd-subj01-{key}-*")) for key in MODELS}
    return ChallengeFolder(home / "src", {**models, "rh-EBA": models["rh-all"]}, images, folder)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> ChallengeFolder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backbones.OWN_ARCHITECTURES, "narrow", narrow_backbone)
        return write_folder(tmp_path_factory.mktemp("challenge"))


@pytest.fixture
def whole(written: ChallengeFolder, monkeypatch: pytest.MonkeyPatch) -> ChallengeFolder:
    counts = {"subj01": challenge_files.Counts(N_TEST, N_VERTICES)}
    monkeypatch.setattr(challenge_files, "COUNTS", counts)
    monkeypatch.setitem(backbones.OWN_ARCHITECTURES, "narrow", narrow_backbone)
    return written


def expected(folder: ChallengeFolder) -> tuple[dict[str, NDArray[np.float32]], int]:
    """Predict each vertex by the model of its highest r; count those that V1v's predicts."""
    images = sorted(folder.test_images.glob("*.png"))
    models = {key: load_model(folder.models[key]) for key in MODELS}
    predicted = {key: model.predict(images) for key, model in models.items()}
    lh = predicted["lh-all"].copy()
    v1v, every = (models[key].vertices.set_index("vertex")["r"] for key in MODELS[:2])
    better = v1v.index[(v1v > every[v1v.index]).to_numpy()]
    lh[:, better] = predicted["lh-V1v"][:, [v1v.index.get_loc(k) for k in better]]
    return {"lh": lh, "rh": predicted["rh-all"]}, len(better)


def score_of(values: Mapping[str, NDArray[np.float32]], responses: Path) -> tuple[float, float]:
    """Compute the challenge's score from its definition: median and mean over all vertices."""
    scores = []
    for side, of_side in values.items():
        home = responses / "subj01" / "test_split"
        measured = np.load(home / "test_fmri" / f"{side}_test_fmri.npy")
        ceilings = np.load(home / "noise_ceiling" / f"{side}_noise_ceiling.npy")
        for predicted, response, ceiling in zip(of_side.T, measured.T, ceilings, strict=True):
            r = max(float(np.corrcoef(predicted, response)[0, 1]), 0.0)
            scores.append(min(100 * r**2 / (float(ceiling) or 1e-14), 100.0))
    assert {0.0, 100.0} < set(scores)
    return float(np.median(scores)), float(np.mean(scores))


def test_every_vertex_is_predicted_by_the_better_of_its_models(
    whole: ChallengeFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right, n_v1v = expected(whole)
    assert 0 < n_v1v < len(ROIS["lh"]["V1v"])
    responses = write_test_responses(tmp_path / "measured", right)
    out = tmp_path / "submission.zip"
    assert submit(whole, out, "--test-responses", str(responses), fill=()) == 0
    found = {}
    with ZipFile(out) as archive:
        for side in N_VERTICES:
            with archive.open(f"subj01/{side}_pred_test.npy") as stream:
                found[side] = np.lib.format.read_array(stream)
            np.testing.assert_allclose(found[side], right[side], rtol=1e-4, atol=1e-5)
    printed = capsys.readouterr().out
    assert "lh 12 vertices, 12 by 2 models; rh 10 vertices, 10 by 1 model" in printed
    median, mean = score_of(found, responses)
    assert f"challenge score {median:.2f} %: median over 22 vertices" in printed
    assert f"(mean {mean:.2f} %)" in printed
