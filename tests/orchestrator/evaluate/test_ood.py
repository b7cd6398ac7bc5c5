"""Exported models on NSD-synthetic: r against oracles, planted and shuffled."""

import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.analyze.analysis import Inputs, Missing
from orchestrator.analyze.questions import ood
from orchestrator.analyze.run import is_current
from orchestrator.encoding_models import load_model
from orchestrator.report.sections.catalogue import SECTIONS
from orchestrator.scores.ood.score_files import SCHEMA, read_scores
from orchestrator.scores.ood.summaries import note_rois, summarise
from orchestrator.scores.ood.summary_table import TABLE_SCHEMA
from tests.builders.exported_models import Swept
from tests.builders.synthetic_shards import CEILINGS, CLASSES, edit_manifest, evaluate_ood
from tests.builders.transfer_shards import narrow_backbone
from trainables.data.data_directory import DataDirectory
from trainables.data.loading import read_images, read_subject
from trainables.models import backbones
from trainables.results.run_directory import RunDirectory


@pytest.fixture(scope="module")
def scored(swept_once: Swept, synthetic: Path) -> Path:
    """A directory with the scores of all three models; it is not to be changed."""
    runs = synthetic.parent / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backbones.OWN_ARCHITECTURES, "narrow", narrow_backbone)
        assert evaluate_ood(swept_once.models, synthetic, runs) == 0
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
        own = rows_of(scored, swept.model(_trial(swept, method), "lh-V1v"))
        for name in ("planted", "shuffled"):
            r = np.array(own[name]["r"])
            assert by_class[method, name].ceiling == pytest.approx(CEILINGS[name])
            share = np.median(r * abs(r) / CEILINGS[name] ** 2)
            assert by_class[method, name].explained == pytest.approx(share)


@pytest.mark.parametrize("method", ["untuned", "regression"])
def test_a_refitted_readout_predicts_planted_responses_and_not_shuffled_ones(
    swept: Swept, scored: Path, method: str
) -> None:
    rows = rows_of(scored, swept.model(_trial(swept, method), "lh-V1v"))
    for name, row in rows.items():
        assert 20 < row["n_groups"] < 51  # subclasses of four, some of which have near-copies
        assert row["r_refitted_mean"] == pytest.approx(np.mean(row["r_refitted"]), abs=1e-6), name
        assert len(row["effect_refitted"]) == row["n_images"]
    error = np.sqrt(np.square(rows["shuffled"]["effect_refitted"]).sum())
    assert rows["planted"]["r_refitted_mean"] > 0.7
    assert abs(rows["shuffled"]["r_refitted_mean"]) < 2.5 * error < 0.4
    [summary] = [
        one
        for one in summarise(read_scores(scored / "ood" / f"{rows['all']['model']}.parquet"), "roi")
        if one.image_class == "planted" and not one.row.is_total
    ]
    assert summary.refitted is not None
    assert summary.refitted.r == pytest.approx(rows["planted"]["r_refitted_mean"])
    r = np.array(rows["planted"]["r_refitted"])
    share = np.median(r * abs(r) / CEILINGS["planted"] ** 2)
    assert summary.refitted.explained == pytest.approx(share)


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


def test_the_report_has_the_rows_of_its_groups(scored: Path) -> None:
    runs = RunDirectory(scored)
    table = pq.read_table(runs.analysis_file("ood"))
    assert table.schema.equals(TABLE_SCHEMA)
    assert is_current(ood.ANALYSIS, Inputs(runs, DataDirectory(scored.parent / "data")))
    section = SECTIONS["ood"](table)
    rows = {
        (row["row"], row["method"]): row
        for row in table.to_pylist()
        if row["image_class"] == "all" and not row["is_total"]
    }
    assert list(rows) == [("early", "untuned"), ("early", "regression"), ("higher", "untuned")]
    for sentence, ((group, method), row) in zip(section.reading, rows.items(), strict=True):
        numbers = [f"{row[name]:.3f}" for name in ("r", "r_in", "r_refitted")]
        assert re.findall(r" (\d\.\d{3})", sentence) == numbers
        assert f"In {group} ROIs, {method} predicts" in sentence
        assert f"a difference of {row['difference']:+.3f} (" in sentence
        assert f"({row['explained_refitted']:.0%} of the explainable variance)" in sentence
    assert len(section.figures) == 3
    whole, early, higher = (figure.alt for figure in section.figures)
    assert f"early, untuned, out of distribution {rows['early', 'untuned']['r']:.3f}" in whole
    assert "planted, noise ceiling 0.950" in early
    assert "shuffled, regression" in early
    assert "shuffled, regression" not in higher
    assert {column.name for column in section.columns} <= set(section.table.columns)


def test_methods_with_models_of_different_rois_are_named() -> None:
    assert note_rois([("early", ("a", "b")), ("early", ("a", "b")), ("all", ("c",))]) is None
    note = note_rois([("early", ("a",)), ("all", ("a", "c")), ("early", ("b",)), ("all", ("a",))])
    assert note is not None
    assert note.startswith("early, all: methods have models of different ROIs")


def test_scores_that_cannot_be_read_are_missing(tmp_path: Path) -> None:
    inputs = Inputs(RunDirectory(tmp_path), DataDirectory(tmp_path))
    for name in ("0123456a", "0123456b"):
        path = inputs.runs.ood_file(f"nsd-subj01-lh-V1v-untuned-{name}")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"damaged")
    with pytest.raises(
        Missing, match=r"a\.parquet, .*b\.parquet, damaged .*; remove them, and run"
    ):
        ood.ANALYSIS.make(inputs)


def test_scores_that_are_there_are_kept_and_others_made(
    swept: Swept, synthetic: Path, scored: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    runs, table = tmp_path / "runs", tmp_path / "table.parquet"
    shutil.copytree(scored, runs)
    files = RunDirectory(runs).ood_files()
    times = [path.stat().st_mtime_ns for path in files]
    options = ("--by", "subject-roi", "--export", str(table))
    assert evaluate_ood(swept.models, synthetic, runs, *options) == 0
    shown = capsys.readouterr().out
    assert "3 models scored on NSD-synthetic, of which 0 now" in shown
    assert "shuffled" in shown
    assert "are not to be compared" not in shown  # V1v of both methods, EBA of one
    assert [path.stat().st_mtime_ns for path in files] == times
    assert pq.read_schema(table).equals(TABLE_SCHEMA)
    assert len(pq.read_table(table)) == 3 * len(files)
    n_rows = len(pq.read_table(RunDirectory(runs).analysis_file("ood")))
    of_before = RunDirectory(runs).ood_file("nsd-subj01-lh-V2v-untuned-0123abcd")
    pq.write_table(pq.read_table(files[0]).drop_columns(["n_groups"]), of_before)
    files[0].write_bytes(b"damaged")
    assert evaluate_ood(swept.models, synthetic, runs) == 0
    shown = capsys.readouterr().out
    assert "of which 1 now" in shown
    assert f"left out: {of_before}, damaged or of another version's columns" in shown
    assert len(pq.read_table(RunDirectory(runs).analysis_file("ood"))) == n_rows
    assert "ValueError" not in shown
    assert read_scores(files[0]).schema.equals(SCHEMA)
    other = tmp_path / "other"
    shutil.copytree(synthetic, other)
    edit_manifest(other / "nsdsynthetic-subj01", content="other")
    assert evaluate_ood(swept.models, other, runs) == 0
    assert "of which 3 now" in capsys.readouterr().out
