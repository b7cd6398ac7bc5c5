"""The best layer of each vertex, chosen by choice scores and never by the r that is shown."""

import numpy as np
import pytest

from orchestrator.scores.__main__ import main
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.vertex_layers import BEST_PER_VERTEX, at_best_layers
from tests.builders.small_scores import ENCODING, LAYERS, roi
from trainables.encoding.score_rois import RoiScores
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import write_scores
from trainables.spec import Contrastive, Trial

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


@pytest.mark.parametrize(
    "options", [["--compare"], ["--by", "layer"], ["--by", "model"], ["--export", "a.csv"]]
)
def test_what_needs_the_layer_of_the_roi_is_refused(runs, capsys, options) -> None:
    assert main(["--out", str(runs), "--layer", "best-per-vertex", *options]) == 2
    assert "--layer best-per-vertex with --" in capsys.readouterr().err
