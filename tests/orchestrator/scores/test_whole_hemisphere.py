"""Whole hemispheres and atlases: rows of their own in tables, and in no total."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.questions.rois import ANALYSIS as ROIS
from orchestrator.scores.rows import By, rois_of, rows_by
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics.image_tests import corrected
from orchestrator.scores.statistics.summaries import summarise
from search_spaces import controls
from tests.builders.small_scores import roi, write
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Untuned
from trainables.spec.rois import roi_group_of
from trainables.spec.search import Search

R = {"V1v": 0.5, "EBA": 0.3, "ventral": 0.1, "nsdgeneral": 0.2, "all": 0.01}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    home = tmp_path_factory.mktemp("runs")
    for name, r in R.items():
        write(home, Contrastive(), roi(name), [r] * 4)
    return RunDirectory(home)


ROWS = {
    "group": {"early": 0.5, "higher": 0.3, "streams": 0.1, "atlas": 0.2, "whole": 0.01, "all": 0.4},
    "roi": {"V1v": 0.5, "EBA": 0.3, "ventral": 0.1, "nsdgeneral": 0.2, "whole": 0.01, "all": 0.4},
    "roi-hemisphere": {
        **{"V1v lh": 0.5, "EBA lh": 0.3, "ventral lh": 0.1, "nsdgeneral lh": 0.2},
        **{"whole lh": 0.01, "all": 0.4},
    },
    "subject": {"subj01": 0.4},
    "subject-roi": {
        "subj01 lh V1v": 0.5,
        "subj01 lh EBA": 0.3,
        "subj01 lh ventral": 0.1,
        "subj01 lh nsdgeneral": 0.2,
        "subj01 lh whole": 0.01,
    },
}


@pytest.mark.parametrize("by", ROWS)
def test_a_table_has_it_apart_and_its_total_leaves_it_out(runs: RunDirectory, by: By) -> None:
    table = read_score_table(runs)
    found = {one.row.label: one.mean for one in summarise(table.over_seeds, by)}
    assert found == pytest.approx(ROWS[by])
    totals = [one for one in rows_by(rois_of(table.vertices), by) if one.is_total]
    assert all("nsd-subj01-lh-all" not in row.rois for row in totals)


def test_analyses_leave_it_out_where_there_are_other_rois(
    runs: RunDirectory, tmp_path: Path
) -> None:
    inputs = Inputs(runs, DataDirectory(tmp_path / "data"))
    assert inputs.scores.present("roi") == ["EBA", "V1v", "nsdgeneral", "ventral"]
    rois: pa.Table = ROIS.make(inputs)
    assert rois["roi"].to_pylist() == ["V1v", "EBA", "ventral", "nsdgeneral"]
    write(tmp_path / "alone", Untuned(), roi("all"), [0.2] * 4)
    alone = Inputs(RunDirectory(tmp_path / "alone"), DataDirectory(tmp_path / "data"))
    assert alone.scores.present("roi") == ["all"]


def test_vertices_are_corrected_for_those_of_their_own_kind_of_roi() -> None:
    p = {"V1v": 0.02, "EBA": 0.04, "ventral": 0.03, "nsdgeneral": 0.02, "all": 0.01}
    frame = pd.DataFrame(
        [("nsd", "subj01", roi_group_of(name), value) for name, value in p.items()],
        columns=["dataset", "subject", "group", "p"],
    )
    assert corrected(frame)["q"].tolist() == [0.04, 0.04, 0.03, 0.02, 0.01]


def test_searches_and_controls_leave_out_what_overlaps_other_rois() -> None:
    from search_spaces.hyperparameter_search import SEARCH

    others = ("all", "nsdgeneral", "HCP_MMP1-V1", "ventral")
    given = [roi("V1v", n=50), *(roi(name, n=900) for name in others)]
    search: Search = SEARCH
    assert search.choose(given) == [(given[0],)]
    assert {one.name for trial in controls.trials(given) for one in trial.rois} == {"V1v"}
