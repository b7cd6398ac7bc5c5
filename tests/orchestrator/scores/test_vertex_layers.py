"""The best layer of each vertex, chosen by choice scores and never by the r that is shown."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from orchestrator.scores.__main__ import main
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.vertex_layers import BEST_PER_VERTEX, at_best_layers
from tests.builders.small_scores import ENCODING, LAYERS, roi
from trainables.encoding.score_rois import RoiScores
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import write_scores
from trainables.spec import Contrastive, Trial, Untuned

NAN = np.nan
R = np.array([[0.1, 0.2, 0.3, NAN, 0.5], [0.6, 0.7, 0.8, 0.9, 0.4]])
CHOICE = np.array([[0.3, 0.1, 0.2, NAN, 0.2], [0.2, 0.4, NAN, NAN, 0.2]])
EXPECTED = np.array([0.1, 0.7, 0.3, NAN, 0.5])
"""Chosen by CHOICE: the first has the worse r; the fourth no choice; the last a tie."""


@pytest.fixture
def runs(tmp_path) -> RunDirectory:
    """Write an ROI's scores under two protocols, the second with r halved."""
    where, directory = roi("V1v", n=5), RunDirectory(tmp_path)
    trial = Trial(Contrastive(), (where,), encoding=ENCODING)
    scores = [
        RoiScores(
            roi=where,
            protocol=protocol,
            layer=LAYERS[1],
            layers=LAYERS,
            vertex=np.arange(5, dtype=np.int32),
            alpha=np.full(5, 10.0),
            r=scale * R[1],
            r_by_layer=scale * R,
            choice_by_layer=CHOICE,
            n_test=15,
        )
        for protocol, scale in (("nested", 1.0), ("paper", 0.5))
    ]
    write_scores(directory, trial, scores)
    return directory


def test_each_vertex_has_the_r_of_the_layer_of_its_highest_choice_score(runs) -> None:
    table = at_best_layers(read_score_table(runs)).vertices
    for protocol, scale in (("nested", 1.0), ("paper", 0.5)):
        part = table[table["protocol"] == protocol]
        np.testing.assert_allclose(part["r"], scale * EXPECTED, atol=1e-7)
        assert set(part["layer"]) == {BEST_PER_VERTEX}


def test_the_rows_that_are_left_out_do_not_move_the_others(runs) -> None:
    paper = read_score_table(runs).keep("protocol", ["paper"])
    np.testing.assert_allclose(at_best_layers(paper).vertices["r"], EXPECTED / 2, atol=1e-7)


def test_the_table_of_scores_is_over_the_best_layers_and_says_so(runs, capsys) -> None:
    assert main(["--out", str(runs), "--layer", "best-per-vertex"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{np.nanmean(EXPECTED):.3f}" in shown
    assert "r of each vertex at the layer of its highest choice score" in shown
    assert main(["--out", str(runs)]) == 0
    assert f"{R[1].mean():.3f}" in capsys.readouterr().out


@pytest.fixture
def untuned(runs) -> RunDirectory:
    """Write the same ROI's scores untuned, 0.05 less at every layer, the choice reversed."""
    where = roi("V1v", n=5)
    trial = Trial(Untuned(), (where,), encoding=ENCODING)
    scores = RoiScores(
        roi=where,
        protocol="nested",
        layer=LAYERS[0],
        layers=LAYERS,
        vertex=np.arange(5, dtype=np.int32),
        alpha=np.full(5, 10.0),
        r=R[0] - 0.05,
        r_by_layer=R - 0.05,
        choice_by_layer=CHOICE[::-1],
        n_test=15,
    )
    write_scores(runs, trial, [scores])
    return runs


def test_methods_are_compared_at_the_best_layer_of_each_vertex(untuned, capsys) -> None:
    """Untuned r is 0.55, 0.15, 0.75, none, 0.45; of the four both, contrastive is better at two."""
    where = ["--out", str(untuned), "--data", str(untuned)]
    compare = ["--compare", "contrastive", "untuned", "--stats"]
    assert main([*where, "--layer", "best-per-vertex", *compare]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "0.400 0.475 -0.075" in shown
    assert "50.0%" in shown
    assert "no interval: predictions are kept at the layer of the ROI" in shown
    assert "over test images: not available, predictions are kept at" in shown


def test_the_best_layers_are_exported_by_vertex_and_by_roi(untuned, tmp_path) -> None:
    options = ["--out", str(untuned), "--data", str(untuned), "--layer", "best-per-vertex"]
    vertices, rois = tmp_path / "vertices.parquet", tmp_path / "rois.parquet"
    assert main([*options, "--export", str(vertices), "--rows", "vertices"]) == 0
    rows = pq.read_table(vertices).to_pandas()
    of_method = rows[rows["method"] == "contrastive"].sort_values("vertex")
    np.testing.assert_allclose(of_method["r"], EXPECTED, atol=1e-7)
    chosen = of_method["layer"].fillna("none").tolist()
    assert chosen == [LAYERS[0], LAYERS[1], LAYERS[0], "none", LAYERS[0]]
    assert rows["alpha"].isna().all()
    assert main([*options, "--export", str(rois)]) == 0
    table = pq.read_table(rois).to_pandas().set_index("method")
    assert table.loc["contrastive", "r"] == pytest.approx(np.nanmean(EXPECTED), abs=1e-7)
    assert table.loc["untuned", "r"] == pytest.approx(0.475, abs=1e-7)
    assert set(table["layer"]) == {BEST_PER_VERTEX}


@pytest.mark.parametrize("options", [["--by", "layer"], ["--by", "model"]])
def test_tables_of_layers_and_models_are_refused(runs, capsys, options) -> None:
    assert main(["--out", str(runs), "--layer", "best-per-vertex", *options]) == 2
    assert "--layer best-per-vertex with --" in capsys.readouterr().err
