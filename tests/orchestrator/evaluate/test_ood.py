"""Exported models on NSD-synthetic: r against oracles, planted and shuffled, and refusals."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.encoding_models import load_model
from orchestrator.encoding_models.config import CONFIG
from orchestrator.evaluate import __main__ as evaluate
from orchestrator.evaluate.ood.model_scores import SCHEMA, read_scores
from orchestrator.evaluate.ood.summaries import TABLE_SCHEMA, summarise
from tests.builders.exported_models import Swept
from tests.builders.synthetic_shards import CLASSES, edit_manifest, write_classes, write_synthetic
from tests.builders.transfer_shards import narrow_backbone
from trainables.data.data_directory import stimuli_file, vertices_file
from trainables.data.loading import read_images, read_subject
from trainables.models import backbones
from trainables.results.run_directory import RunDirectory


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of NSD-synthetic; it is not to be changed."""
    data = tmp_path_factory.mktemp("synthetic") / "data"
    write_synthetic(data)
    return data


def run(models: Path, data: Path, out: Path, *more: str) -> int:
    places = ["--models", str(models), "--data", str(data), "--out", str(out)]
    return evaluate.main(["ood", *places, *more])


@pytest.fixture(scope="module")
def scored(swept_once: Swept, synthetic: Path) -> Path:
    """A directory with the scores of all three models; it is not to be changed."""
    runs = synthetic.parent / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backbones.OWN_ARCHITECTURES, "narrow", narrow_backbone)
        assert run(swept_once.models, synthetic, runs) == 0
    return runs


def rows_of(runs: Path, model: Path) -> dict[str, dict]:
    rows = read_scores(RunDirectory(runs).ood_file(model.name)).to_pylist()
    return {row["image_class"]: row for row in rows}


def columns(data: Path, model: Path, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predict images by the model as a notebook does; return that and the responses."""
    shard, loaded = data / "nsdsynthetic-subj01", load_model(model)
    images = read_images(shard, loaded.mean.device).numpy()[chosen]
    responses = read_subject(shard).responses[loaded.config.roi.hemisphere]
    return loaded.predict(images), responses[chosen][:, list(loaded.config.vertices.vertex)]


@pytest.mark.parametrize(("method", "roi"), [("regression", "lh-V1v"), ("untuned", "rh-EBA")])
def test_r_and_its_errors_agree_with_a_notebooks(
    swept: Swept, synthetic: Path, scored: Path, method: str, roi: str
) -> None:
    """r by numpy from the loaded model; its standard error by leaving out each image."""
    model = swept.model(_trial(swept, method), roi)
    found = rows_of(scored, model)
    assert list(found) == ["all", "planted", "shuffled"]  # three images are too few
    for name, row in found.items():
        chosen = np.array([name in ("all", one) for one in CLASSES])
        predicted, measured = columns(synthetic, model, chosen)
        n = len(measured)
        assert row["n_images"] == n

        def correlate(kept: np.ndarray, a=predicted, b=measured) -> np.ndarray:
            pairs = zip(a[kept].T, b[kept].T, strict=True)
            return np.array([np.corrcoef(x, y)[0, 1] for x, y in pairs])

        np.testing.assert_allclose(row["r"], correlate(np.ones(n, bool)), atol=1e-5)
        assert row["r_mean"] == pytest.approx(np.mean(row["r"]), abs=1e-6)
        without = [correlate(np.arange(n) != k).mean() for k in range(n)]
        error = np.sqrt((n - 1) * np.var(without))
        assert np.sqrt(np.square(row["effect"]).sum()) == pytest.approx(error, rel=1e-3)


def test_planted_responses_are_predicted_and_shuffled_ones_are_not(
    swept: Swept, scored: Path
) -> None:
    tables = [read_scores(path) for path in RunDirectory(scored).ood_files()]
    by_class = {
        (one.method, one.image_class): one
        for one in summarise(pa.concat_tables(tables), "roi")
        if one.row.label == "V1v"
    }
    for method in ("untuned", "regression"):
        planted, shuffled = (by_class[method, name] for name in ("planted", "shuffled"))
        assert planted.r > 0.7
        assert abs(planted.r - planted.r_in) < planted.of_difference.half_width
        assert abs(shuffled.r) < shuffled.uncertainty.half_width < 0.3
        assert shuffled.difference + shuffled.of_difference.half_width < -0.3
        whole = by_class[method, "all"]
        assert shuffled.r < whole.r < planted.r
        assert whole.ceiling == pytest.approx(0.9)
        r = np.array(rows_of(scored, swept.model(_trial(swept, method), "lh-V1v"))["all"]["r"])
        assert whole.explained == pytest.approx(np.median(r * abs(r) / 0.81))
        assert planted.explained is None


def _trial(swept: Swept, method: str):
    return swept.untuned if method == "untuned" else swept.tuned


def test_r_in_distribution_is_the_exported_models(swept: Swept, scored: Path) -> None:
    model = swept.model(swept.untuned, "rh-EBA")
    config = load_model(model).config
    row = rows_of(scored, model)["all"]
    assert row["r_in"] == list(config.vertices.r)
    assert row["r_in_mean"] == pytest.approx(config.score.r_mean)
    n_test = config.score.n_test
    assert n_test == 40
    half = 2.0226909 * row["standard_error_in"]  # t quantile of 39 degrees of freedom
    assert half == pytest.approx((config.score.high - config.score.low) / 2)


def test_a_mean_over_rois_has_the_interval_of_its_images(scored: Path) -> None:
    """Of untuned: lh V1v (early) and rh EBA (higher); images move both together."""
    tables = [read_scores(path) for path in RunDirectory(scored).ood_files()]
    scores = pa.concat_tables(tables)
    [whole] = [
        one
        for one in summarise(scores, "group")
        if (one.row.label, one.method, one.image_class) == ("all", "untuned", "all")
    ]
    own = [
        row
        for row in scores.to_pylist()
        if (row["method"], row["image_class"]) == ("untuned", "all")
    ]
    assert len(own) == 2
    assert whole.r == pytest.approx(np.mean([row["r_mean"] for row in own]))
    effect = np.mean([row["effect"] for row in own], axis=0)
    error = np.sqrt(np.square(effect).sum())
    assert whole.uncertainty.standard_error == pytest.approx(error)
    inside = np.mean([row["standard_error_in"] for row in own])
    assert whole.of_difference.standard_error == pytest.approx(np.hypot(error, inside))


def test_scores_that_are_there_are_kept_and_others_made(
    swept: Swept, synthetic: Path, scored: Path, tmp_path: Path, capsys
) -> None:
    runs, table = tmp_path / "runs", tmp_path / "table.parquet"
    shutil.copytree(scored, runs)
    files = RunDirectory(runs).ood_files()
    times = [path.stat().st_mtime_ns for path in files]
    assert run(swept.models, synthetic, runs, "--by", "subject-roi", "--export", str(table)) == 0
    shown = capsys.readouterr().out
    assert "3 models scored on NSD-synthetic, of which 0 now" in shown
    assert "shuffled" in shown
    assert [path.stat().st_mtime_ns for path in files] == times
    assert pq.read_schema(table).equals(TABLE_SCHEMA)
    assert len(pq.read_table(table)) == 3 * len(files)
    files[0].write_bytes(b"damaged")
    assert run(swept.models, synthetic, runs) == 0
    assert "of which 1 now" in capsys.readouterr().out
    assert read_scores(files[0]).schema.equals(SCHEMA)
    other = tmp_path / "other"
    shutil.copytree(synthetic, other)
    edit_manifest(other / "nsdsynthetic-subj01", content="other")
    assert run(swept.models, other, runs) == 0
    assert "of which 3 now" in capsys.readouterr().out


def test_subjects_without_the_data_are_left_out(
    swept: Swept, synthetic: Path, tmp_path: Path, capsys
) -> None:
    models = tmp_path / "models"
    shutil.copytree(swept.model(swept.untuned, "rh-EBA"), models / "model")
    shutil.copytree(models / "model", models / "other")
    _edit_config(models / "other", roi={"subject": "subj07"}, name="nsd-subj07-rh-EBA-0123abcd")
    assert run(models, synthetic, tmp_path / "runs") == 0
    shown = capsys.readouterr().out
    assert "left out: 1 model of subj07, whose NSD-synthetic is not in" in shown
    assert "1 model scored on NSD-synthetic, of which 1 now" in shown


def _of_all_images(model: Path, data: Path) -> None:
    _edit_config(model, fit="all")


def _of_another_data_set(model: Path, data: Path) -> None:
    _edit_config(model, roi={"dataset": "nod"})


def _simulated(model: Path, data: Path) -> None:
    _edit_config(model, is_simulated=True)


def _other_size(model: Path, data: Path) -> None:
    _edit_config(model, preprocessing={"image_size": 32})


def _other_vertices(model: Path, data: Path) -> None:
    _edit_config(model, vertices={"vertex": [1, 2, 3, 4, 5, 6, 7, 8]})


def _other_places(model: Path, data: Path) -> None:
    _edit_config(model, vertices={"fsaverage": [9, 1, 2, 3, 4, 5, 6, 7]})


def _other_subject(model: Path, data: Path) -> None:
    shutil.rmtree(data / "nsdsynthetic-subj01")


def _no_classes(model: Path, data: Path) -> None:
    stimuli_file(data / "nsdsynthetic-subj01").unlink()
    edit_manifest(data / "nsdsynthetic-subj01")


def _other_stimuli(model: Path, data: Path) -> None:
    write_classes(data / "nsdsynthetic-subj01", [f"other-{k}" for k in range(len(CLASSES))])


def _damaged_vertices(model: Path, data: Path) -> None:
    with vertices_file(data / "nsdsynthetic-subj01").open("ab") as file:
        file.write(b"0")


def _edit_config(model: Path, **changes) -> None:
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
        (_other_size, "has 16; ingest it again with --image-size 32"),
        (_other_vertices, "which are not those of"),
        (_other_places, "which are not those of"),
        (_other_subject, "holds no NSD-synthetic of subj01, whose models these are; run"),
        (_no_classes, "stimuli.parquet: expected in its manifest"),
        (_other_stimuli, "stimuli.parquet: expected the stimuli of its rows, found others"),
        (_damaged_vertices, "vertices.parquet: damaged or of another ingest"),
    ],
)
def test_bad_input_is_refused_in_a_line(
    model_copy: Path, synthetic: Path, tmp_path: Path, capsys, damage, message
) -> None:
    data, runs = tmp_path / "shards" / "data", tmp_path / "runs"
    shutil.copytree(synthetic, data)
    damage(model_copy, data)
    assert run(model_copy, data, runs) == 2
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
