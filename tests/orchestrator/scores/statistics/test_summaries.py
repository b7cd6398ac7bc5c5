"""The numbers of the tables: means by hand, pairs, and intervals against SciPy."""

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
from orchestrator.scores.statistics.summaries import Comparison, choose_layers, compare, summarise
from orchestrator.scores.statistics.vertex_pairs import Bootstrap, draw_means, measure_rois, pair
from tests.builders.made_up_pairs import made_up
from tests.builders.small_scores import roi, write, write_sweep
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Untuned

DRAWS = Bootstrap(n_draws=400)


def vertices_of(runs: Path, protocol: str = "nested") -> pd.DataFrame:
    vertices = read_score_table(RunDirectory(runs)).vertices
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


def test_scores_on_other_data_are_not_paired(tmp_path) -> None:
    write(tmp_path, Untuned(), roi(), [0.1, 0.2])
    write(tmp_path, Contrastive(), replace(roi(), data="feedbeef"), [0.1, 0.2])
    assert pair(vertices_of(tmp_path), "contrastive", "untuned").frame.empty
    assert compare(pair(vertices_of(tmp_path), "contrastive", "untuned"), "roi", DRAWS) == []


def test_share_improved_counts_strictly_better_vertices_in_the_same_hierarchy() -> None:
    a = np.array([[0.5, 0.5, 0.5, 0.5], [0.5, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1]])
    b = np.array([[0.4, 0.4, 0.4, 0.5], [0.4, 0.4, 0.4, 0.4], [0.4, 0.4, 0.4, 0.0]])
    places = (("subj01", "V1v"), ("subj01", "hV4"), ("subj02", "V1v"))
    comparisons = compare(made_up(*places, a=a, b=b), "group", DRAWS)
    assert only(comparisons, "early").share_improved == pytest.approx(
        ((0.75 + 0.25) / 2 + 0.25) / 2
    )


def test_differences_follow_the_hierarchy_of_the_means(tmp_path) -> None:
    write_sweep(tmp_path)
    vertices = vertices_of(tmp_path)
    means = {(s.row.label, s.method): s.mean for s in summarise(vertices, "group")}
    for one in compare(pair(vertices, "contrastive", "untuned"), "group", DRAWS):
        assert one.mean_a == pytest.approx(means[one.row.label, "contrastive"])
        assert one.mean_b == pytest.approx(means[one.row.label, "untuned"])
        assert one.low < one.difference < one.high


def test_the_interval_of_one_roi_agrees_with_scipy() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(0.42, 0.1, (1, 300)), generator.normal(0.4, 0.1, (1, 300))
    (ours,) = compare(
        made_up(("subj01", "V1v"), a=a, b=b), "subject-roi", Bootstrap(n_draws=20_000)
    )
    theirs = scipy.stats.bootstrap(
        ((a - b)[0],), np.mean, n_resamples=20_000, method="percentile", rng=generator
    ).confidence_interval
    width = theirs.high - theirs.low
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.03 * width)


def test_the_interval_of_a_group_has_the_spread_of_the_weighted_rois() -> None:
    generator = np.random.default_rng(1)
    places = (("subj01", "V1v"), ("subj01", "hV4"), ("subj02", "V1v"))
    a, b = generator.normal(0.4, 0.1, (2, 3, 200))
    one = only(compare(made_up(*places, a=a, b=b), "group", Bootstrap(n_draws=20_000)), "early")
    variance = (a - b).var(axis=1) / 200
    deviation = np.sqrt(np.square([0.25, 0.25, 0.5]) @ variance)
    assert one.high - one.low == pytest.approx(2 * 1.96 * deviation, rel=0.04)


def test_pairing_removes_what_both_methods_share() -> None:
    shared = np.random.default_rng(2).normal(0.4, 0.2, (1, 50))
    (one,) = compare(made_up(("subj01", "V1v"), a=shared + 0.01, b=shared), "subject-roi", DRAWS)
    assert (one.low, one.high) == pytest.approx((0.01, 0.01))
    assert one.share_improved == 1.0


def test_every_row_and_draw_takes_the_same_vertices_of_both_methods() -> None:
    """b is a less 0.01, so every mean of drawn vertices differs by 0.01 in each ROI and group."""
    shared = np.random.default_rng(2).normal(0.4, 0.2, (3, 40))
    places = (("subj01", "V1v"), ("subj01", "EBA"), ("subj02", "V1v"))
    [paired] = measure_rois([made_up(*places, a=shared, b=shared - 0.01)], DRAWS)
    assert len(paired.drawn) == 3
    for drawn in paired.drawn.values():
        np.testing.assert_allclose(drawn, 0.01, atol=1e-12)
    for by in ("subject-roi", "group", "subject"):
        for one in compare(made_up(*places, a=shared, b=shared - 0.01), by, DRAWS):
            assert (one.low, one.high) == pytest.approx((0.01, 0.01), abs=1e-12)


def test_permuted_methods_differ_by_nothing_within_the_interval() -> None:
    generator = np.random.default_rng(3)
    values = generator.permuted(generator.normal([[0.4], [0.5]], 0.05, (2, 500)), axis=0)
    (one,) = compare(made_up(("subj01", "V1v"), a=values[:1], b=values[1:]), "subject-roi", DRAWS)
    assert one.low < 0 < one.high


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_rois=st.integers(1, 4), n=st.integers(1, 30))
def test_swapping_the_methods_negates_difference_and_interval(seed, n_rois, n) -> None:
    a, b = np.random.default_rng(seed).normal(0.4, 0.1, (2, n_rois, n))
    places = [("subj01", "V1v"), ("subj01", "EBA"), ("subj02", "V1v"), ("subj02", "PPA")][:n_rois]
    there = compare(made_up(*places, a=a, b=b), "group", Bootstrap(n_draws=50))
    back = compare(made_up(*places, a=b, b=a), "group", Bootstrap(n_draws=50))
    for one, other in zip(there, back, strict=True):
        assert one.difference == pytest.approx(-other.difference, abs=1e-12)
        assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-12)
        assert one.share_improved == pytest.approx(1 - other.share_improved)


def test_an_roi_has_the_same_interval_whatever_else_is_compared() -> None:
    a, b = np.random.default_rng(4).normal(0.4, 0.1, (2, 2, 100))
    both = compare(made_up(("subj01", "V1v"), ("subj01", "hV4"), a=a, b=b), "subject-roi", DRAWS)
    (alone,) = compare(made_up(("subj01", "hV4"), a=a[1:], b=b[1:]), "subject-roi", DRAWS)
    same = only(both, "subj01 lh hV4")
    assert (same.low, same.high) == (alone.low, alone.high)


def test_draws_do_not_depend_on_the_size_of_a_block(monkeypatch) -> None:
    values = np.random.default_rng(5).normal(size=64)
    whole = draw_means(values[None], 100, np.random.default_rng(0))
    monkeypatch.setattr("orchestrator.scores.statistics.vertex_pairs.BLOCK", 64 * 7)
    np.testing.assert_array_equal(draw_means(values[None], 100, np.random.default_rng(0)), whole)


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
