"""Vertices whose alpha is an end of its grid are counted, and named where they are many."""

import numpy as np
import pytest

from orchestrator.scores.alpha_notes import alpha_notes
from orchestrator.scores.display.score_tables import closing_table
from orchestrator.scores.score_table import read_score_table
from tests.builders.small_scores import ENCODING, LAYERS, roi
from trainables.data.data_directory import DataDirectory
from trainables.encoding.score_rois import RoiScores
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import write_scores
from trainables.spec import Contrastive, Objective, Trial, Untuned

LOW, HIGH = ENCODING.alphas[0], ENCODING.alphas[-1]


def write_alphas(runs, objective: Objective, roi_name: str, alpha: list[float]) -> Trial:
    n = len(alpha)
    where = roi(roi_name, n=n)
    trial = Trial(objective, (where,), encoding=ENCODING)
    values = np.where(np.isnan(alpha), np.nan, np.linspace(0.1, 0.4, n))
    scores = RoiScores(
        roi=where,
        protocol="nested",
        layer=LAYERS[0],
        layers=LAYERS,
        vertex=np.arange(n, dtype=np.int32),
        alpha=np.array(alpha),
        r=values,
        r_by_layer=np.stack([values, values]),
        choice_by_layer=np.zeros((2, n)),
        n_test=15,
    )
    write_scores(RunDirectory(runs), trial, [scores])
    return trial


def test_the_share_at_an_end_is_counted_over_all_rois_of_a_method(tmp_path) -> None:
    write_alphas(tmp_path, Contrastive(), "V1v", [HIGH, HIGH, 10.0, np.nan])
    write_alphas(tmp_path, Contrastive(), "V2v", [HIGH, 10.0, 10.0, 10.0, 10.0])
    write_alphas(tmp_path, Untuned(), "V1v", [10.0, 10.0, 10.0, HIGH, 1e3, 10.0])
    [note] = alpha_notes(read_score_table(RunDirectory(tmp_path)))
    assert note.startswith("contrastive, protocol nested: 38% of vertices chose the largest alpha")
    assert f"{HIGH:g}" in note


@pytest.mark.parametrize(("n_low", "is_named"), [(1, False), (2, True)])
def test_the_smallest_alpha_is_named_from_a_fifth_of_the_vertices_on(
    tmp_path, n_low, is_named
) -> None:
    write_alphas(tmp_path, Untuned(), "V1v", [LOW] * n_low + [10.0] * (10 - n_low))
    notes = alpha_notes(read_score_table(RunDirectory(tmp_path)))
    assert [("20% of vertices chose the smallest alpha" in note) for note in notes] == (
        [True] if is_named else []
    )


def test_the_closing_table_has_the_note(tmp_path) -> None:
    trials = [
        write_alphas(tmp_path, objective, "V1v", alphas)
        for objective, alphas in ((Untuned(), [10.0] * 4), (Contrastive(), [LOW] * 4))
    ]
    table = closing_table(
        RunDirectory(tmp_path), DataDirectory(tmp_path / "data"), [t.id for t in trials]
    )
    assert "contrastive, protocol nested: 100% of vertices" in " ".join(str(table.caption).split())
    assert "untuned, protocol" not in str(table.caption)
