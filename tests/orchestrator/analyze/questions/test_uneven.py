"""Analyses of a sweep whose subjects lack ROIs: each number against the raw score files."""

import numpy as np
import pytest

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.questions import surface
from orchestrator.analyze.questions.surface import PLACE
from tests.builders.uneven_sweep import GAINS, PRESENT, TASKS, roi_means, table_of


def test_transfer_recovers_the_planted_gain_of_every_pair(uneven):
    inputs, raw = uneven
    rows = table_of(inputs, "transfer").to_pandas()
    rows = rows[(rows["hemisphere"] == "both") & ~rows["is_own"]]
    n_pairs = rows[rows["level"] == "roi"].groupby("row").size().to_dict()
    assert n_pairs == {"V1v": 6, "hV4": 2, "EBA": 2, "FFA-1": 2, "ventral": 6}
    np.testing.assert_allclose(rows["gain"], 0.01, atol=1e-12)
    np.testing.assert_allclose(rows["r"] - rows["r_untuned"], 0.01, atol=1e-12)
    untuned = roi_means(raw, "untuned")
    for one in rows[rows["level"] == "group"].itertuples():
        names = set(PRESENT[one.model]) & set(PRESENT[one.subject])
        of_target = untuned[one.subject]
        groups = ["early", "higher"] if one.row == "all" else [one.row]
        shared = of_target[
            of_target.index.get_level_values("group").isin(groups)
            & of_target.index.get_level_values("roi").isin(names)
        ]
        assert one.n_rois == len(shared)
        assert one.r_untuned == pytest.approx(shared.mean())
        gains = [GAINS["contrastive", group] for group in shared.index.get_level_values("group")]
        assert one.r_own - one.r_untuned == pytest.approx(np.mean(gains))


def test_a_vertex_in_several_rois_is_counted_once(uneven):
    inputs, raw = uneven
    rows = table_of(inputs, "improvement").to_pandas()
    groups = rows[(rows["level"] == "group") & (rows["hemisphere"] == "both")]
    for one in groups.itertuples():
        both = [set(raw.loc[raw["method"] == m, "roi"]) for m in (one.method, one.reference)]
        wanted = {"all": ["early", "higher"]}.get(one.row, [one.row])
        part = raw[(raw["method"] == one.method) & raw["group"].isin(wanted)]
        part = part[part["roi"].isin(both[0] & both[1])]
        assert one.n_distinct_vertices == len(part[["subject", "vertex"]].drop_duplicates())
    higher = groups[(groups["row"] == "higher") & (groups["method"] == "contrastive")]
    assert (higher["n_vertices"] > higher["n_distinct_vertices"]).all()


def test_a_method_is_compared_on_the_rois_that_it_has(uneven):
    inputs, raw = uneven
    rows = table_of(inputs, "improvement").to_pandas()
    shown = rows[
        (rows["level"] == "group")
        & (rows["hemisphere"] == "both")
        & (rows["reference"] == "untuned")
    ]
    labels = shown.groupby("method")["row"].agg(list).to_dict()
    assert labels["regression"] == ["early"]
    assert labels["contrastive"] == ["early", "higher", "streams", "all"]
    for one in shown[shown["row"] != "all"].itertuples():
        if (one.method, one.row) in GAINS:
            assert one.difference == pytest.approx(GAINS[one.method, one.row])
        own = roi_means(raw, one.method)
        own = own[own.index.get_level_values("group") == one.row]
        assert one.r == pytest.approx(own.groupby("subject").mean().mean())


def test_every_pair_of_model_and_target_counts_in_a_layers_choices(uneven):
    inputs, raw = uneven
    rows = table_of(inputs, "layers").to_pandas()
    chosen = raw.drop_duplicates(["trial_id", "roi", "subject"])
    for one in rows.itertuples():
        of_roi = chosen[(chosen["method"] == one.method) & (chosen["roi"] == one.roi)]
        assert one.n_chosen == (of_roi["layer"] == one.layer).sum()
        assert one.n_models == len(of_roi)
    transfers = rows[(rows["method"] == "transfer-contrastive") & (rows["roi"] == "V1v")]
    assert transfers["n_chosen"].sum() == 6
    assert (transfers["n_subjects"] == 3).all()


def test_the_untuned_backbone_of_brain_fit_counts_each_roi_once(uneven):
    inputs, raw = uneven
    rows = table_of(inputs, "brain_fit").to_pandas()
    untuned = rows[rows["method"] == "untuned"]
    means = roi_means(raw, "untuned")
    assert sorted(set(untuned["task"])) == sorted(TASKS)
    for one in untuned.itertuples():
        of_group = means[means.index.get_level_values("group") == one.group]
        assert one.n_rois == len(of_group)
        assert one.r == pytest.approx(of_group.groupby("subject").mean().mean())
    assert set(untuned.loc[untuned["group"] == "early", "n_rois"]) == {5}
    assert set(rows.loc[rows["method"].str.startswith("pooled"), "n_rois"]) == {3}


def test_a_vertex_on_the_map_is_compared_within_the_same_rois(uneven):
    inputs, raw = uneven
    names = ["dataset", "subject", "hemisphere", "vertex"]
    assert names == PLACE
    places = raw[names].drop_duplicates()
    places = places.assign(fsaverage=places["vertex"], noise_ceiling=0.5)
    without = raw["method"].eq("contrastive") & raw["roi"].eq("FFA-1")
    dropped = set(raw.loc[without, "trial_id"])
    fewer = inputs.scores.where(~inputs.scores.segments["trial_id"].isin(dropped))
    part = Inputs(inputs.runs, inputs.data)
    part.__dict__["scores"] = fewer
    [rows] = surface._of_protocol(part, "nested", places)
    shown = rows[(rows["method"] == "contrastive") & (rows["subject"] == "subj01")]
    overlap = shown[shown["vertex"].between(70, 89)]  # in EBA, and in FFA-1, which it lacks
    assert len(overlap) == 20
    np.testing.assert_allclose(overlap["difference"], GAINS["contrastive", "higher"], atol=1e-12)


def test_pooled_scores_are_those_of_the_same_roi(uneven):
    inputs, raw = uneven
    rows = table_of(inputs, "pooling").to_pandas()
    rows = rows[rows["roi"].notna()]
    assert len(rows) == 6
    for one in rows.itertuples():
        for column, method in (
            ("r", one.method),
            ("r_single", "contrastive"),
            ("r_untuned", "untuned"),
            ("r_cross_subject", "transfer-contrastive"),
        ):
            expected = roi_means(raw, method)[one.subject, one.group, one.roi]
            assert getattr(one, column) == pytest.approx(expected)
