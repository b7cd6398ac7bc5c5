"""At NSD's size (8 subjects, 312 ROIs, 5 methods): tables, statistics, analyses, exports, the page.

Their key numbers are computed again by pandas from what was written; what was planted in probes of
721 backbones on 4 tasks is found again.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.special
import scipy.stats

from orchestrator.analyze.catalogue import ANALYSES
from orchestrator.analyze.questions import (
    brain_fit,
    classification,
    improvement,
    landscape,
    layers,
    mutual_information,
    pooling,
    saliency,
    surface,
    transfer,
)
from orchestrator.analyze.run import make
from orchestrator.report.page import write_report
from orchestrator.scores import run
from orchestrator.scores.__main__ import main
from tests.builders.nsd_probes import (
    ACCURACY,
    BIAS,
    BITS,
    LOST,
    N_IMAGES,
    TASKS,
    accuracy_of,
    labels_of_task,
    log_probabilities,
)
from tests.builders.nsd_size import METHODS, N_ROIS, OF_ROI, PLACE, nested, over_subjects, table_of
from trainables.probes.probe import Probed


def test_all_subjects_rois_and_methods_are_there(nsd_size) -> None:
    wide = nested(nsd_size)
    assert len(wide[OF_ROI].drop_duplicates()) == N_ROIS
    assert wide["subject"].nunique() == 8
    assert wide[METHODS].notna().all(axis=None)
    assert wide.groupby(["hemisphere", "roi"])["subject"].nunique().between(2, 7).any()


def test_improvement_is_that_of_pandas(nsd_size) -> None:
    wide = nested(nsd_size)
    rows = table_of(nsd_size, improvement.ANALYSIS)
    rows = rows[rows["reference"] == "untuned"]
    of_group = rows[(rows["level"] == "group") & (rows["hemisphere"] == "both")]
    assert len(of_group) == 3 * 4
    for one in of_group.itertuples():
        part = wide if one.row == "all" else wide[wide["group"] == one.row]
        part = part.assign(better=(part[one.method] > part["untuned"]).astype(float))
        means = over_subjects(part)
        assert one.difference == pytest.approx(means[one.method] - means["untuned"])
        assert one.share_better == pytest.approx(means["better"])
        assert (one.n_vertices, one.n_subjects) == (len(part), 8)
    of_rois = rows[rows["level"] == "subject-roi"]
    assert len(of_rois) == N_ROIS * 4
    means = wide.groupby(OF_ROI)[METHODS].mean()
    for one in of_rois.iloc[::97].itertuples():
        expected = means.loc[(one.subject, one.hemisphere, one.roi)]
        assert one.r == pytest.approx(expected[one.method])
        assert one.r_reference == pytest.approx(expected["untuned"])


@pytest.mark.slow
def test_layers_are_those_of_pandas(nsd_size) -> None:
    rows = table_of(nsd_size, layers.ANALYSIS)
    written = nsd_size.scores[nsd_size.scores["protocol"] == "nested"]
    chosen = written.drop_duplicates(["method", "model", *OF_ROI])
    counts = chosen.groupby(["method", "hemisphere", "roi", "layer"]).size()
    found = rows.set_index(["method", "hemisphere", "roi", "layer"])
    for key, n in counts.items():
        assert found.at[key, "n_chosen"] == n
    assert rows["n_chosen"].sum() == len(chosen)
    at = written.assign(r=written["r"] - 0.1 * (written["layer"] != "features.2"))
    means = at[at["method"] == "untuned"].groupby(OF_ROI)["r"].mean()
    for (hemisphere, roi), r in means.groupby(["hemisphere", "roi"]).mean().items():
        assert found.at[("untuned", hemisphere, roi, "features.2"), "r"] == pytest.approx(r)


def test_pooling_is_that_of_pandas(nsd_size) -> None:
    rows = table_of(nsd_size, pooling.ANALYSIS)
    rows = rows[rows["roi"].notna()].set_index(["method", *OF_ROI])
    assert len(rows) == 2 * N_ROIS
    wide = nested(nsd_size)
    means = wide.groupby(OF_ROI)[METHODS].mean()
    better = wide[METHODS].gt(wide["untuned"], axis=0).groupby([wide[one] for one in OF_ROI]).mean()
    for method in ("pooled-avg", "pooled-const"):
        found = rows.loc[method].reindex(means.index)
        np.testing.assert_allclose(found["r"], means[method])
        np.testing.assert_allclose(found["r_single"], means["contrastive"])
        np.testing.assert_allclose(found["r_untuned"], means["untuned"])
        np.testing.assert_allclose(found["share_better"], better[method])
        np.testing.assert_allclose(found["share_better_single"], better["contrastive"])


def test_transfer_is_that_of_pandas_over_the_rois_that_both_subjects_have(nsd_size) -> None:
    rows = table_of(nsd_size, transfer.ANALYSIS)
    rows = rows[(rows["hemisphere"] == "both") & (rows["level"] == "group") & ~rows["is_own"]]
    rows = rows[rows.groupby(["model", "subject"])["n_rois"].transform("max") == rows["n_rois"]]
    rows = rows.drop_duplicates(["model", "subject"])
    written = nsd_size.scores[nsd_size.scores["protocol"] == "nested"]
    moved = written[written["method"] == "transfer-contrastive"]
    untuned = written[written["method"] == "untuned"]
    both = moved.merge(untuned[[*PLACE, "r"]], on=PLACE, suffixes=("", "_untuned"))
    of_rois = both.groupby(["model", *OF_ROI])[["r", "r_untuned"]].mean()
    expected = of_rois.groupby(["model", "subject"]).agg(["mean", "size"])
    assert len(rows) == len(expected) == 6
    assert set(rows["n_rois"]) == {1, 2}
    for one in rows.itertuples():
        numbers = expected.loc[(one.model, one.subject)]
        assert one.r == pytest.approx(numbers["r", "mean"])
        assert one.r_untuned == pytest.approx(numbers["r_untuned", "mean"])
        assert one.n_rois == numbers["r", "size"]


def test_maps_are_the_mean_over_the_rois_of_a_vertex(nsd_size) -> None:
    rows = table_of(nsd_size, surface.ANALYSIS)
    rows = rows[rows["method"] == "contrastive"]
    wide = nested(nsd_size)
    wide = wide.assign(difference=wide["contrastive"] - wide["untuned"])
    expected = wide.groupby(["subject", "hemisphere", "vertex"])["difference"].agg(["mean", "size"])
    found = rows.set_index(["subject", "hemisphere", "fsaverage"]).reindex(expected.index)
    assert len(rows) == len(expected)
    np.testing.assert_allclose(found["difference"], expected["mean"])
    np.testing.assert_array_equal(found["n_models"], expected["size"])


@pytest.fixture
def ask(nsd_size, monkeypatch, capsys) -> Callable[..., str]:
    """Run the command on the table of scores, which is read once; return its output."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(run, "read_score_table", lambda _: nsd_size.inputs.all_scores)

    def run_command(*arguments: str) -> str:
        places = ["--out", str(nsd_size.runs.path), "--data", str(nsd_size.data.path)]
        assert main([*places, *arguments]) == 0
        shown: str = capsys.readouterr().out
        return shown

    return run_command


@pytest.mark.parametrize(
    ("by", "n_rows"), [("group", 3), ("roi", 24 + 3), ("subject", 9), ("layer", 2), ("model", 3)]
)
def test_every_table_of_scores_is_shown(nsd_size, ask, by: str, n_rows: int) -> None:
    shown = ask("--by", by, *(["--subjects", "1"] if by == "layer" else []))
    words = "subj01" if by == "model" else "contrastive"
    assert shown.count(words) >= n_rows
    if by == "group":
        r = over_subjects(nested(nsd_size))["contrastive"]
        assert f"{r:.3f}" in shown


def test_two_protocols_are_compared_where_both_are(ask) -> None:
    shown = ask("--protocol", "nested,paper")
    assert shown.count("+0.020") == 5


def test_every_vertex_of_every_roi_is_tested_and_corrected_within_a_subject(
    nsd_size, ask, tmp_path: Path
) -> None:
    path = tmp_path / "differences.parquet"
    export = ["--export", str(path), "--rows", "differences"]
    shown = ask("--compare", "contrastive", "untuned", "--stats", *export)
    for table in ("Over test images", "Over subjects", "Share of the explainable variance"):
        assert table in shown
    found = pq.read_table(path).to_pandas()
    wide = nested(nsd_size).set_index(PLACE)
    assert len(found) == 3 * N_ROIS
    assert not found["is_simulated"].any()
    joined = found.set_index(PLACE).join(wide[["contrastive", "untuned"]])
    np.testing.assert_allclose(joined["r_a"], joined["contrastive"], atol=2e-3)
    np.testing.assert_allclose(joined["r_b"], joined["untuned"], atol=2e-3)
    for _, part in found.groupby("subject"):
        np.testing.assert_allclose(part["q"], scipy.stats.false_discovery_control(part["p"]))


def test_the_test_over_subjects_is_scipys_on_means_of_pandas(nsd_size, ask) -> None:
    means = nested(nsd_size).groupby(OF_ROI)[METHODS].mean().groupby("subject").mean()
    p = scipy.stats.ttest_rel(means["regression"], means["untuned"]).pvalue
    shown = ask("--compare", "regression", "untuned", "--stats")
    lines = shown.split("Over subjects")[1].splitlines()
    line = next(one for one in lines if one.startswith(" all"))
    assert f"{p:.3f}" in line or (p < 0.001 and "<0.001" in line.replace(" ", ""))


@pytest.mark.slow
def test_rois_and_vertices_are_exported_with_their_ceilings(nsd_size, ask, tmp_path: Path) -> None:
    rois, vertices = tmp_path / "rois.parquet", tmp_path / "vertices.parquet"
    ask("--export", str(rois))
    ask("--export", str(vertices), "--rows", "vertices", "--subjects", "1")
    tidy = pq.read_table(rois).to_pandas()
    written = nsd_size.scores[nsd_size.scores["protocol"] == "nested"]
    assert len(tidy) == len(written.drop_duplicates(["method", "model", *OF_ROI]))
    of_first = written["subject"] == "subj01"
    assert pq.read_metadata(vertices).num_rows == of_first.sum()
    own = written[written["method"] == "regression"]
    explained = (own["r"] * own["r"].abs() / 0.9**2).groupby([own[name] for name in OF_ROI])
    found = tidy[tidy["method"] == "regression"].set_index(OF_ROI)["explained"]
    np.testing.assert_allclose(found.sort_index(), explained.median().sort_index(), rtol=1e-6)


@pytest.mark.slow
def test_every_analysis_is_made_or_says_what_is_missing_and_the_page_shows_them(
    nsd_size, tmp_path: Path
) -> None:
    done = {one.name: make(one, nsd_size.inputs) for one in ANALYSES}
    assert [one.message for one in done.values() if one.state == "failed"] == []
    skipped = {name for name, one in done.items() if one.state == "skipped"}
    assert skipped == {"controls", "variance", "ood"}
    page = write_report(nsd_size.inputs, tmp_path / "report.html").read_text(encoding="utf-8")
    means = over_subjects(nested(nsd_size))
    for method in METHODS:
        assert f"{means[method]:.3f}" in page


def test_classification_has_each_backbone_on_every_task(nsd_size) -> None:
    rows = table_of(nsd_size, classification.ANALYSIS)
    rows = rows[rows["level"] == "backbone"]
    assert list(dict.fromkeys(rows["task"])) == sorted(TASKS)
    assert len(rows) == len(TASKS) * len(nsd_size.backbones) == 4 * 721
    planted = {Probed(one).id: accuracy_of(one) for one in nsd_size.backbones}
    np.testing.assert_allclose(rows["accuracy"], rows["backbone"].map(planted))
    tuned = rows[rows["method"] != "untuned"]
    np.testing.assert_allclose(tuned["difference"], tuned["accuracy"] - ACCURACY)
    means = rows.groupby(["task", "method", "group"])["accuracy"].mean()
    assert len(means) == 4 * len(LOST)
    for (_, method, group), accuracy in means.items():
        assert accuracy == pytest.approx(ACCURACY - LOST[method, group], abs=5e-3)


@pytest.mark.slow
def test_brain_fit_has_the_gain_of_pandas_and_each_groups_front(nsd_size) -> None:
    rows = table_of(nsd_size, brain_fit.ANALYSIS)
    means = nested(nsd_size).groupby(["roi", "hemisphere", "subject"])[METHODS].mean()
    planted = {}
    for model in nsd_size.backbones:
        own = means.loc[[(one.name, one.hemisphere, one.subject) for one in model.rois]]
        planted[Probed(model).id] = (own[model.method] - own["untuned"]).mean()
    assert len(rows) == len(TASKS) * (720 + 2)
    tuned = rows[rows["method"] != "untuned"]
    np.testing.assert_allclose(tuned["gain"], tuned["backbone"].map(planted), atol=1e-12)
    of_one = rows[(rows["task"] == "imagenet") & (rows["group"] == "higher")]
    for one in of_one.itertuples():
        beats = (of_one["accuracy"] >= one.accuracy) & (of_one["gain"] >= one.gain)
        better = (of_one["accuracy"] > one.accuracy) | (of_one["gain"] > one.gain)
        assert one.is_pareto == (not (beats & better).any())


@pytest.mark.slow
def test_the_landscape_of_every_task_has_all_backbones_and_is_made_again_from_its_table(
    nsd_size,
) -> None:
    rows = table_of(nsd_size, landscape.ANALYSIS)
    assert len(rows) == len(TASKS) * (721 + 2)
    probed = {Probed(one).id: Probed(one) for one in nsd_size.backbones}
    for task, part in rows.groupby("task"):
        D = np.stack(part["dissimilarities"].tolist())
        ids = part["backbone"].tolist()
        for a, b in ((0, 720), (13, 300), (719, 2), (255, 256)):
            logs = [log_probabilities(probed[ids[k]], str(task)) for k in (a, b)]
            expected = -scipy.special.logsumexp((logs[0] + logs[1]) / 2, axis=1).mean()
            assert D[a, b] == D[b, a] == pytest.approx(expected, abs=1e-12)
        right = np.arange(N_IMAGES), labels_of_task(str(task))
        losses = [-log_probabilities(probed[one], str(task))[right].mean() for one in ids[:-2]]
        np.testing.assert_allclose(part["to_oracle"].iloc[:-2], np.array(losses) / 2, atol=1e-12)
    again = landscape.make(nsd_size.inputs)["dissimilarities"].combine_chunks().flatten()
    np.testing.assert_array_equal(again, np.concatenate(rows["dissimilarities"].tolist()))


def test_information_has_a_bound_for_each_model_and_roi(nsd_size) -> None:
    rows = table_of(nsd_size, mutual_information.ANALYSIS)
    assert len(rows) == 3 * N_ROIS
    np.testing.assert_allclose(rows["bits"], rows["method"].map(BITS))
    assert not rows.duplicated(["method", *OF_ROI]).any()


def test_saliency_has_the_planted_bias_of_every_early_backbone(nsd_size) -> None:
    rows = table_of(nsd_size, saliency.ANALYSIS)
    tuned = rows[rows["method"] != "untuned"]
    assert (len(rows), len(tuned)) == (225, 2 * 8 * 14)
    np.testing.assert_allclose(tuned["bias"], tuned["hemisphere"].map(BIAS))
    np.testing.assert_allclose(tuned["bias_change_low"], tuned["bias"])
    np.testing.assert_allclose(tuned["bias_change_high"], tuned["bias"])
