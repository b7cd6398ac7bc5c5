"""The numbers of the tables: means by hand, pairs, and the intervals of rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.scores.rows import method_order, roi_weights, rois_of, rows_by
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics.measured_differences import NOTHING, MeasuredDifferences
from orchestrator.scores.statistics.roi_differences import Images, TrialScore, subtract
from orchestrator.scores.statistics.summaries import (
    Comparison,
    choose_layers,
    compare_all,
    summarise,
    totals,
)
from orchestrator.scores.statistics.vertex_pairs import measure_rois, pair
from tests.builders.made_up_pairs import made_up, measured_with
from tests.builders.small_scores import roi, write, write_sweep
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Regression, Untuned


def vertices_of(runs: Path, protocol: str = "nested") -> pd.DataFrame:
    vertices = read_score_table(RunDirectory(runs)).over_seeds
    return vertices[vertices["protocol"] == protocol]


def only(comparisons: list[Comparison], label: str) -> Comparison:
    return next(one for one in comparisons if one.row.label == label)


def test_means_go_over_vertices_then_rois_of_a_subject_then_subjects(tmp_path) -> None:
    write(tmp_path, Untuned(), roi("V1v", "subj01"), [0.1, 0.3])
    write(tmp_path, Untuned(), roi("V1v", "subj01", "rh"), [0.6])
    write(tmp_path, Untuned(), roi("V1v", "subj02"), [0.8, 0.8, 0.8, 0.5])
    (summary,) = summarise(vertices_of(tmp_path), "roi")
    assert summary.mean == pytest.approx(((0.2 + 0.6) / 2 + 2.9 / 4) / 2)
    assert summary.median == pytest.approx(((0.2 + 0.6) / 2 + 0.8) / 2)
    assert (summary.n_vertices, summary.n_rois, summary.n_subjects) == (7, 3, 2)


def test_vertices_without_an_r_are_counted_and_left_out(tmp_path) -> None:
    write(tmp_path, Untuned(), roi("V1v"), [0.5, np.nan, -0.1])
    write(tmp_path, Untuned(), roi("V1v", hemisphere="rh"), [np.nan, np.nan])
    (summary,) = summarise(vertices_of(tmp_path), "roi")
    assert summary.mean == pytest.approx(0.2)
    assert summary.share_positive == pytest.approx(0.5)
    assert (summary.n_vertices, summary.n_constant, summary.n_rois) == (5, 3, 2)


def test_a_row_without_any_r_has_no_mean(tmp_path) -> None:
    write(tmp_path, Untuned(), roi(), [np.nan, np.nan])
    (summary,) = summarise(vertices_of(tmp_path), "group")
    assert summary.mean is None
    assert summary.median is None
    assert summary.n_constant == 2


def test_a_mean_has_an_interval_where_every_roi_of_its_row_was_measured(tmp_path) -> None:
    effects = {
        roi("V1v"): np.array([0.02, -0.02, 0.0]),
        roi("hV4"): np.array([0.0, 0.03, -0.03]),
        roi("EBA"): None,
    }
    known = {}
    for where, effect in effects.items():
        write(tmp_path, Untuned(), where, [0.2, 0.4])
        if effect is not None:
            score = TrialScore(None, 0.3, Images(np.arange(3), effect))
            known[where.id] = subtract(("nsd", "subj01"), [score], [])
    measured = MeasuredDifferences({("untuned", NOTHING): known})
    early, *others = summarise(vertices_of(tmp_path), "group", measured=measured)
    error = np.sqrt(0.01**2 + 0.005**2 + 0.015**2)  # of the mean effects: 0.01, 0.005, -0.015
    assert early.row.label == "early"
    assert early.uncertainty.half_width == pytest.approx(scipy.stats.t.ppf(0.975, 2) * error)
    assert early.uncertainty.levels == ("images",)
    assert {one.row.label: one.uncertainty for one in others} == {"higher": None, "all": None}


def test_weights_are_a_mean_over_subjects_of_means_over_rois() -> None:
    generator = np.random.default_rng(0)
    subjects = generator.choice(["subj01", "subj02", "subj03"], 20)
    rois = pd.DataFrame({"dataset": "nsd", "subject": subjects, "roi": "V1v"})
    value = pd.Series(generator.normal(size=20))
    by_hand = value.groupby(rois["subject"]).mean().mean()
    assert (roi_weights(rois) * value).sum() == pytest.approx(by_hand)


def test_equal_names_in_two_data_sets_are_two_subjects() -> None:
    rois = pd.DataFrame({"dataset": ["nsd", "other", "other"], "subject": "subj01", "roi": "V1v"})
    assert roi_weights(rois).tolist() == [0.5, 0.25, 0.25]


def test_methods_come_in_the_order_of_the_tables() -> None:
    found = ["pooled", "contrastive", "untuned", "another", "regression"]
    assert method_order(found) == ["untuned", "regression", "contrastive", "another", "pooled"]


def test_rows_come_in_the_order_of_rois_and_streams_stay_out_of_totals(tmp_path) -> None:
    for roi_name in ("ventral", "EBA", "hV4", "early", "V1v"):
        write(tmp_path, Untuned(), roi(roi_name), [0.5])
    rois = rois_of(vertices_of(tmp_path))
    roi_names = rows_by(rois, "roi")
    assert [row.label for row in roi_names] == [
        "V1v",
        "hV4",
        "EBA",
        "early",
        "ventral",
        "all early",
        "all",
    ]
    groups = {row.label: row.rois for row in rows_by(rois, "group")}
    assert list(groups) == ["early", "higher", "streams", "all"]
    assert {c.rsplit("-", 1)[1] for c in groups["early"]} == {"V1v", "hV4"}
    assert {c.rsplit("-", 1)[1] for c in groups["all"]} == {"V1v", "hV4", "EBA"}
    (subject,) = rows_by(rois, "subject")
    assert len(subject.rois) == 3


def test_streams_alone_make_the_rows_of_subjects(tmp_path) -> None:
    write(tmp_path, Untuned(), roi("ventral"), [0.5])
    assert [row.label for row in rows_by(rois_of(vertices_of(tmp_path)), "subject")] == ["subj01"]


def test_pairs_are_the_same_vertex_of_the_same_roi_with_two_scores(tmp_path) -> None:
    write(tmp_path, Untuned(), roi("V1v"), [0.1, 0.2, np.nan, 0.4])
    write(tmp_path, Contrastive(), roi("V1v"), [0.5, np.nan, 0.7, 0.8])
    write(tmp_path, Untuned(), roi("EBA"), [0.1, 0.2])
    write(tmp_path, Contrastive(), roi("PPA"), [0.1, 0.2, 0.3])
    pairs = pair(vertices_of(tmp_path), "contrastive", "untuned")
    assert pairs.frame[["a", "b"]].to_numpy().tolist() == [[0.5, 0.1], [0.8, 0.4]]
    assert (pairs.n_only_a, pairs.n_only_b, pairs.n_constant) == (3, 2, 2)
    assert (pairs.a, pairs.b) == ("contrastive", "untuned")


def test_the_rois_of_a_hemisphere_are_kept(tmp_path) -> None:
    for side in ("lh", "rh"):
        for objective in (Untuned(), Contrastive()):
            write(tmp_path, objective, roi("V1v", hemisphere=side), [0.1, 0.2])
    pairs = pair(vertices_of(tmp_path), "contrastive", "untuned")
    (found,) = measure_rois([pairs], MeasuredDifferences())
    assert list(found.of_hemisphere("rh").rois["hemisphere"]) == ["rh"]
    assert list(found.of_hemisphere("both").rois["hemisphere"]) == ["lh", "rh"]


def test_scores_on_other_data_are_not_paired(tmp_path) -> None:
    write(tmp_path, Untuned(), roi(), [0.1, 0.2])
    write(tmp_path, Contrastive(), replace(roi(), data="feedbeef"), [0.1, 0.2])
    assert pair(vertices_of(tmp_path), "contrastive", "untuned").frame.empty
    pairs = pair(vertices_of(tmp_path), "contrastive", "untuned")
    assert compare_all([pairs], "roi", MeasuredDifferences()) == []


def test_share_improved_counts_strictly_better_vertices_in_the_same_hierarchy() -> None:
    a = np.array([[0.5, 0.5, 0.5, 0.5], [0.5, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1]])
    b = np.array([[0.4, 0.4, 0.4, 0.5], [0.4, 0.4, 0.4, 0.4], [0.4, 0.4, 0.4, 0.0]])
    places = (("subj01", "V1v"), ("subj01", "hV4"), ("subj02", "V1v"))
    comparisons = compare_all([made_up(*places, a=a, b=b)], "group", MeasuredDifferences())
    assert only(comparisons, "early").share_improved == pytest.approx(
        ((0.75 + 0.25) / 2 + 0.25) / 2
    )


def test_differences_follow_the_hierarchy_of_the_means(tmp_path) -> None:
    write_sweep(tmp_path)
    vertices = vertices_of(tmp_path)
    means = {(s.row.label, s.method): s.mean for s in summarise(vertices, "group")}
    pairs = pair(vertices, "contrastive", "untuned")
    for one in compare_all([pairs], "group", MeasuredDifferences()):
        assert one.mean_a == pytest.approx(means[one.row.label, "contrastive"])
        assert one.mean_b == pytest.approx(means[one.row.label, "untuned"])
        assert one.difference == one.mean_a - one.mean_b
        assert (one.a, one.b) == ("contrastive", "untuned")


def test_a_comparison_counts_pairs_subjects_and_seeds(tmp_path) -> None:
    for name, seeds in (("V1v", 1), ("hV4", 3)):
        write(tmp_path, Untuned(), roi(name), [0.1, 0.2])
        for seed in range(seeds):
            write(tmp_path, Contrastive(), roi(name), [0.3, 0.4], seed=seed)
    pairs = pair(vertices_of(tmp_path), "contrastive", "untuned")
    (early,) = compare_all([pairs], "group", MeasuredDifferences())
    assert early.n_seeds == (1, 3)
    assert early.n_pairs == 4
    assert early.subjects == {("nsd", "subj01")}


def test_totals_are_the_widest_row_of_each_pair_of_methods(tmp_path) -> None:
    for name in ("V1v", "EBA"):
        write(tmp_path, Untuned(), roi(name), [0.1, 0.2])
        write(tmp_path, Contrastive(), roi(name), [0.3, 0.4])
    write(tmp_path, Regression(), roi("V1v"), [0.3, 0.4])
    vertices = vertices_of(tmp_path)
    pairs = [pair(vertices, method, "untuned") for method in ("contrastive", "regression")]
    found = totals(compare_all(pairs, "group", MeasuredDifferences()))
    assert [(one.a, one.row.label) for one in found] == [
        ("contrastive", "all"),
        ("regression", "early"),
    ]


PLACES = (("subj01", "V1v"), ("subj01", "EBA"), ("subj02", "V1v"))


def made_up_comparisons(by: str, leave_out: str = "") -> tuple[np.ndarray, list[Comparison]]:
    """Compare two methods on three ROIs; returns the effects of the images too."""
    generator = np.random.default_rng(1)
    a, b = generator.normal(0.4, 0.1, (2, 3, 20))
    effects = 0.01 * generator.standard_normal((3, 50))
    pairs = made_up(*PLACES, a=a, b=b)
    return effects, compare_all([pairs], by, measured_with(pairs, effects, leave_out))


def test_the_interval_of_a_row_weighs_rois_as_the_mean_does() -> None:
    effects, found = made_up_comparisons("group")
    t = scipy.stats.t.ppf(0.975, 99)  # the images of both subjects, less 1
    variance = np.sum((effects[0] + effects[1]) ** 2) / 16 + np.sum(effects[2] ** 2) / 4
    low, high = only(found, "all").interval
    assert (high - low) / 2 == pytest.approx(t * np.sqrt(variance))
    assert (high + low) / 2 == pytest.approx(only(found, "all").difference)


def test_a_row_with_an_roi_without_predictions_has_no_interval() -> None:
    _, found = made_up_comparisons("group", leave_out="nsd-subj01-lh-EBA")
    assert only(found, "early").interval is not None
    assert only(found, "higher").interval is None
    assert only(found, "all").interval is None


def test_without_predictions_there_are_differences_but_no_interval() -> None:
    a, b = np.random.default_rng(2).normal(0.4, 0.1, (2, 3, 20))
    found = compare_all([made_up(*PLACES, a=a, b=b)], "roi", MeasuredDifferences())
    assert {one.interval for one in found} == {None}
    assert only(found, "EBA").difference == pytest.approx((a - b)[1].mean())


def test_an_roi_has_the_same_interval_whatever_else_is_compared() -> None:
    effects, found = made_up_comparisons("subject-roi")
    alone = made_up(PLACES[1], a=np.full((1, 20), 0.5), b=np.full((1, 20), 0.4))
    (other,) = compare_all([alone], "subject-roi", measured_with(alone, effects[1:2]))
    half = only(found, "subj01 lh EBA").uncertainty.half_width
    assert other.uncertainty.half_width == pytest.approx(half)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_rois=st.integers(1, 4), n=st.integers(1, 30))
def test_swapping_the_methods_negates_the_difference(seed, n_rois, n) -> None:
    a, b = np.random.default_rng(seed).normal(0.4, 0.1, (2, n_rois, n))
    places = [("subj01", "V1v"), ("subj01", "EBA"), ("subj02", "V1v"), ("subj02", "PPA")][:n_rois]
    there, back = (
        compare_all([made_up(*places, a=one, b=other)], "group", MeasuredDifferences())
        for one, other in ((a, b), (b, a))
    )
    for one, other in zip(there, back, strict=True):
        assert one.difference == pytest.approx(-other.difference, abs=1e-12)
        assert one.share_improved == pytest.approx(1 - other.share_improved)


def test_layers_are_counted_by_the_rois_that_chose_them(tmp_path) -> None:
    write(tmp_path, Untuned(), roi("V1v"), [0.2, 0.4], layer="features.2")
    write(tmp_path, Untuned(), roi("hV4"), [0.5, 0.5], layer="classifier.5")
    write(tmp_path, Untuned(), roi("EBA"), [np.nan], layer="features.2")
    write(tmp_path, Untuned(), roi("ventral"), [0.9], layer="features.2")
    choices = choose_layers(
        vertices_of(tmp_path), read_score_table(RunDirectory(tmp_path)).at_layers()
    )
    first, second = choices
    assert (first.layer, first.n_chosen, first.n_rois) == ("features.2", 1, 2)
    assert first.r_chosen == pytest.approx(0.3)
    assert first.r_at_layer == pytest.approx((0.3 + 0.4) / 2)
    assert (second.layer, second.r_chosen) == ("classifier.5", pytest.approx(0.5))


def test_two_data_sets_are_never_averaged_together(tmp_path) -> None:
    nod = replace(roi(), dataset="nod", subject="sub-01", name="V1")
    write(tmp_path / "runs", Untuned(), roi(), [0.2, 0.4])
    write(tmp_path / "runs", Untuned(), nod, [0.8, 0.9])
    rois = rois_of(read_score_table(RunDirectory(tmp_path / "runs")).vertices)
    for by in ("group", "roi", "subject"):
        for row in rows_by(rois, by):
            assert len({name.split("-")[0] for name in row.rois}) == 1
    labels = [row.label for row in rows_by(rois, "group")]
    assert labels == ["nod early", "nsd early"]
