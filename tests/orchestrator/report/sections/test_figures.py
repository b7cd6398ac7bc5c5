"""The numbers that figures draw: against the raw scores, and against a planted truth."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest

from benchmarks.small_shards import write_shards
from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.questions import layers as layers_question
from orchestrator.analyze.questions import pooling as pooling_question
from orchestrator.analyze.questions import rois as rois_question
from orchestrator.report.sections.catalogue import SECTIONS
from orchestrator.report.sections.layers import layer_matrices, most_chosen
from orchestrator.report.sections.plots import dots
from orchestrator.report.sections.pooling import by_subject
from orchestrator.report.sections.rois import ABSENT, size_matrices
from orchestrator.report.sections.transfer_blocks import MEASURES, block_matrix
from tests.builders.small_scores import LAYERS, write
from tests.builders.uneven_sweep import COLUMNS, GAINS, PRESENT, table_of
from tests.orchestrator.report.sections.test_readings import made_up
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Untuned

SUBJECTS = list(PRESENT)
OF_GROUP = {"early": {"V1v", "hV4"}, "higher": {"EBA", "FFA-1"}, "streams": {"ventral"}}


def texts(picture) -> list[str]:
    """List the texts of an SVG."""
    return re.findall(r">([^<>]+)</text>", picture.source)


def test_a_layer_matrix_has_the_raw_means_and_the_layers_that_most_models_chose(uneven):
    inputs, raw = uneven
    rows = table_of(inputs, "layers").to_pandas()
    of_method = rows[rows["method"] == "contrastive"]
    matrices = layer_matrices(of_method, "r")
    assert list(matrices) == ["lh"]
    matrix = matrices["lh"]
    assert list(matrix.index) == list(LAYERS)
    assert list(matrix.columns) == ["V1v", "hV4", "EBA", "FFA-1", "ventral"]
    own = raw[raw["method"] == "contrastive"]
    for place, layer in enumerate(LAYERS):
        at_layer = own.assign(at=[one[place] for one in own["r_by_layer"]])
        means = at_layer.groupby(["roi", "subject"])["at"].mean().groupby("roi").mean()
        np.testing.assert_allclose(matrix.loc[layer], means[matrix.columns])
    chosen = own.drop_duplicates(["roi", "subject"]).groupby(["layer", "roi"]).size()
    most = chosen.groupby("roi").transform("max") == chosen
    expected = {
        (LAYERS.index(layer), list(matrix.columns).index(r)) for layer, r in most[most].index
    }
    found = most_chosen(layer_matrices(of_method, "n_chosen")["lh"])
    assert set(found) == expected


def test_layer_matrices_of_both_hemispheres_have_the_same_layers():
    places = [("lh", "V2v", 1, 0.2), ("lh", "V1v", 0, 0.1), ("rh", "EBA", 1, 0.3)]
    rows = [
        {"hemisphere": side, "roi": name, "layer": LAYERS[place], "place": place, "r": r}
        for side, name, place, r in places
    ]
    table = made_up(layers_question.SCHEMA, [{**one, "method": "untuned"} for one in rows])
    matrices = layer_matrices(table.to_pandas(), "r")
    assert list(matrices) == ["lh", "rh"]
    assert all(list(one.index) == list(LAYERS) for one in matrices.values())
    assert list(matrices["lh"].columns) == ["V1v", "V2v"]
    np.testing.assert_equal(matrices["lh"].to_numpy(), [[0.1, np.nan], [np.nan, 0.2]])
    np.testing.assert_equal(matrices["rh"].to_numpy(), [[np.nan], [0.3]])
    [picture] = SECTIONS["layers"](table).figures
    assert {"untuned, lh", "untuned, rh", *LAYERS, "EBA"} <= set(texts(picture))


def test_transfer_blocks_have_the_planted_gain_on_the_shared_rois(uneven):
    rows = table_of(uneven[0], "transfer").to_pandas()
    shown = rows[(rows["level"] == "group") & (rows["hemisphere"] == "both")]
    r, gain, better = MEASURES
    for group in ("early", "higher", "streams"):
        gains = block_matrix(shown, group, gain)
        assert list(gains.index) == list(gains.columns) == SUBJECTS
        for (model, target), value in gains.stack(future_stack=True).items():
            shared = {
                name
                for name in set(PRESENT[model]) & set(PRESENT[target])
                if name in OF_GROUP[group]
            }
            method = "contrastive" if model == target else "transfer-contrastive"
            expected = GAINS[method, group] if shared else np.nan
            np.testing.assert_allclose(value, expected, atol=1e-9)
            share = block_matrix(shown, group, better).loc[model, target]
            np.testing.assert_equal(share, 100.0 * (expected > 0) if shared else np.nan)
    [picture] = SECTIONS["transfer"](table_of(uneven[0], "transfer")).figures
    assert texts(picture).count("+.010") == 6 + 4 + 6  # subj02 and subj03 share no higher ROI
    assert f"{block_matrix(shown, 'early', r).loc['subj01', 'subj02']:.3f}"[1:] in texts(picture)


def test_shares_of_a_subject_are_means_over_its_rois_of_a_group():
    shares = {
        ("subj01", "early"): [(0.5, 0.4), (0.7, 0.8), (0.9, None)],
        ("subj01", "higher"): [(0.2, 0.3)],
        ("subj02", "early"): [(0.6, 0.1)],
    }
    rows = [
        {
            **{"method": "pooled-avg", "dataset": "nsd", "subject": subject, "group": group},
            **{"roi": f"{group}{number}", "share_better": pooled},
            "share_better_cross_subject": other,
            "r_single": None,
        }
        for (subject, group), pairs in shares.items()
        for number, (pooled, other) in enumerate(pairs)
    ]
    table = made_up(pooling_question.SCHEMA, rows)
    found = by_subject(table.to_pandas(), "cross_subject").set_index(["subject", "group"])
    assert found.loc[("subj01", "early"), ["pooled", "other"]].tolist() == pytest.approx([60, 60])
    assert found.at[("subj01", "early"), "n_rois"] == 2  # that which both have
    assert found.loc[("subj01", "higher"), ["pooled", "other"]].tolist() == pytest.approx([20, 30])
    picture = SECTIONS["pooling"](table).figures[0]
    assert picture.caption.endswith(
        "above the line, where pooled models are better: pooled-avg, early 1 of 2 subjects; "
        "pooled-avg, higher 0 of 1 subject."
    )


def test_pooled_models_are_better_where_it_is_planted(uneven):
    rows = table_of(uneven[0], "pooling").to_pandas()
    found = by_subject(rows, "cross_subject").set_index(["method", "subject"])
    assert found.loc["pooled-avg", "pooled"].tolist() == [100.0] * 3
    assert found.loc["pooled-const", "pooled"].tolist() == [0.0] * 3
    assert found["other"].tolist() == [100.0] * 6


def test_sizes_of_rois_are_shown_and_absent_ones_seen(uneven):
    table = table_of(uneven[0], "rois")
    matrix = size_matrices(table.to_pandas())["lh"]
    for subject in SUBJECTS:
        for name in COLUMNS:
            n = len(COLUMNS[name]) if name in PRESENT[subject] else np.nan
            np.testing.assert_equal(matrix.loc[subject, name], n)
    section = SECTIONS["rois"](table)
    [picture] = section.figures
    assert texts(picture).count(ABSENT) == 3
    assert "(3 of lh)" in picture.caption
    assert "nsd, higher: 4 ROIs of 3 subjects, of 30 to 40 vertices, median 35." in section.reading
    assert section.reading[-1].endswith("EBA lh (1), FFA-1 lh (1), hV4 lh (1).")


def test_rois_of_the_data_that_have_no_scores_are_listed(tmp_path):
    first, *others = write_shards(tmp_path / "data", n_images=12)
    for objective in (Untuned(), Contrastive()):
        write(tmp_path / "runs", objective, first, [0.1] * first.n_vertices)
    inputs = Inputs(RunDirectory(tmp_path / "runs"), DataDirectory(tmp_path / "data"))
    rows = rois_question.make(inputs).to_pandas()
    expected = {(one.hemisphere, one.name): one.n_vertices for one in (first, *others)}
    found = rows.set_index(["hemisphere", "roi"])
    assert found["n_vertices"].to_dict() == expected
    assert found.index[found["is_scored"]].tolist() == [(first.hemisphere, first.name)]
    [picture] = SECTIONS["rois"](rois_question.make(inputs)).figures
    assert f"{len(others)} ROIs without scores" in picture.caption


@pytest.mark.parametrize("n", [3, 40])
def test_a_figure_leaves_the_column_of_text_when_it_is_wide(n):
    names = [f"R{number}" for number in range(n)]
    rows = [{"hemisphere": "lh", "roi": name, "layer": "a", "method": "untuned"} for name in names]
    [picture] = SECTIONS["layers"](made_up(layers_question.SCHEMA, rows)).figures
    assert picture.is_wide == (n == 40)
    assert pd.Series(texts(picture)).isin(names).sum() == n


def test_long_names_of_settings_leave_a_figure_its_room() -> None:
    """They stand in lines above it; in one line they would leave the axes no width."""
    names = [f"contrastive hidden_ratio={k}.5 embedding_ratio=0.{k}" for k in range(4)]
    rows = pd.DataFrame({"label": "early", "method": names, "value": 0.1, "low": 0.0, "high": 0.2})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = dots(rows, "value", "gain", zero=True)
    assert all(name in drawn for name in names)
