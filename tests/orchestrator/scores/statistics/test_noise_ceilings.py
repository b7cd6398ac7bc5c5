"""Shares of the explainable variance, and two protocols side by side: numbers by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.small_shards import write_shards
from orchestrator.scores.rows import By
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics.noise_ceilings import explain, shares, with_ceilings
from orchestrator.scores.statistics.protocol_gap import protocol_gaps
from tests.builders.edited_shards import trust_files
from tests.builders.small_scores import roi, write
from trainables.data.data_directory import VERTICES, DataDirectory
from trainables.data.vertex_columns import VERTEX_SCHEMA
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Roi, Untuned
from trainables.spec.rois import ROI_ORDER, roi_group_of


def set_ceilings(shard: Path, ceilings: dict[str, list[float | None]]) -> None:
    """Overwrite the noise ceilings of the first vertices of each hemisphere."""
    rows = pq.read_table(shard / VERTICES).to_pylist()
    for row in rows:
        given = ceilings.get(row["hemisphere"], [])
        row["noise_ceiling"] = given[row["vertex"]] if row["vertex"] < len(given) else None
    pq.write_table(pa.Table.from_pylist(rows, VERTEX_SCHEMA), shard / VERTICES)
    trust_files(shard)


@pytest.fixture
def v1(tmp_path) -> Roi:
    rois = write_shards(tmp_path / "data", n_images=20, image_size=8)
    set_ceilings(tmp_path / "data" / "nsd-subj01", {"lh": [0.5, 0.8, None, 0.0, 0.4, 0.5]})
    return next(one for one in rois if one.name == "V1v")


def scored(home: Path, where: Roi, r: list[float]) -> pd.DataFrame:
    write(home / "runs", Untuned(), where, r)
    return with_ceilings(
        read_score_table(RunDirectory(home / "runs")).vertices, DataDirectory(home / "data")
    )


def test_shares_are_r_squared_of_ceiling_squared_with_the_sign_of_r(tmp_path, v1) -> None:
    r = [0.25, 0.4, 0.5, 0.5, 0.6, -0.25]
    vertices = scored(tmp_path, v1, r)
    assert vertices["noise_ceiling"].tolist() == pytest.approx(
        [0.5, 0.8, np.nan, 0.0, 0.4, 0.5], nan_ok=True
    )
    assert shares(vertices).tolist() == pytest.approx(
        [0.25, 0.25, np.nan, np.nan, 2.25, -0.25], nan_ok=True
    )


def test_a_share_above_1_is_counted_and_not_clipped(tmp_path, v1) -> None:
    (one,) = explain(scored(tmp_path, v1, [0.25, 0.4, 0.5, 0.5, 0.6, 0.9, np.nan]), "roi")
    assert one.share == pytest.approx(np.median([0.25, 0.25, 2.25, 3.24]))
    assert one.share > 1
    assert (one.n_above, one.n_vertices, one.n_without) == (2, 4, 2)
    assert (one.row.label, one.method) == ("V1v", "untuned")
    assert one.ceiling == pytest.approx((0.5 + 0.8 + 0.4 + 0.5) / 4)


def test_without_ceilings_a_share_is_none(tmp_path, v1) -> None:
    set_ceilings(tmp_path / "data" / "nsd-subj01", {})
    (one,) = explain(scored(tmp_path, v1, [0.25, 0.4]), "roi")
    assert (one.share, one.ceiling, one.n_vertices, one.n_without) == (None, None, 0, 2)


def test_ceilings_of_other_content_or_of_no_shard_are_not_used(tmp_path, v1) -> None:
    write(tmp_path / "runs", Untuned(), roi("V1v"), [0.1, 0.2])  # of the data 0123abcd
    vertices = read_score_table(RunDirectory(tmp_path / "runs")).vertices
    for data in (tmp_path / "data", tmp_path / "absent"):
        assert with_ceilings(vertices, DataDirectory(data))["noise_ceiling"].isna().all()


def test_shares_are_averaged_over_rois_then_subjects(tmp_path) -> None:
    rois = write_shards(tmp_path / "data", ("subj01", "subj02"), n_images=20, image_size=8)
    for subject in ("subj01", "subj02"):
        set_ceilings(tmp_path / "data" / f"nsd-{subject}", {"lh": [0.5] * 12, "rh": [1.0] * 10})
    chosen = [one for one in rois if (one.name, one.hemisphere) in (("V1v", "lh"), ("hV4", "lh"))]
    r = {("subj01", "V1v"): 0.5, ("subj01", "hV4"): 0.25, ("subj02", "V1v"): 0.1}
    for one in chosen:
        if (one.subject, one.name) in r:
            write(tmp_path / "runs", Untuned(), one, [r[one.subject, one.name]] * 3)
    vertices = with_ceilings(
        read_score_table(RunDirectory(tmp_path / "runs")).vertices, DataDirectory(tmp_path / "data")
    )
    (early,) = explain(vertices, "group")
    assert early.share == pytest.approx(((1.0 + 0.25) / 2 + 0.04) / 2)


def test_a_gap_is_the_difference_on_vertices_that_both_protocols_score(tmp_path) -> None:
    write(tmp_path, Untuned(), roi("V1v"), [0.1, 0.2, 0.3], ("nested",))
    write(tmp_path, Contrastive(), roi("V1v"), [0.4, 0.4], ("nested", "paper"))
    write(tmp_path, Contrastive(), roi("EBA"), [0.4, np.nan], ("nested", "paper"))
    vertices = read_score_table(RunDirectory(tmp_path)).vertices
    is_paper = vertices["protocol"] == "paper"
    vertices.loc[is_paper, "r"] += np.where(vertices.loc[is_paper, "vertex"] == 0, 0.1, -0.02)
    gaps = {one.row.label: one for one in protocol_gaps(vertices, ("nested", "paper"), "roi")}
    assert gaps["V1v"].method == "contrastive"
    assert gaps["V1v"].difference == pytest.approx((0.1 - 0.02) / 2)
    assert gaps["V1v"].share_higher == 0.5
    assert (gaps["EBA"].n_vertices, gaps["EBA"].difference) == (1, pytest.approx(0.1))
    groups = [one.row.label for one in protocol_gaps(vertices, ("nested", "paper"), "group")]
    assert groups == ["early", "higher", "all"]


def test_protocols_of_different_trials_are_not_set_side_by_side(tmp_path) -> None:
    write(tmp_path, Contrastive(), roi(), [0.1], ("nested",))
    write(tmp_path, Contrastive(temperature=0.1), roi(), [0.1], ("paper",))
    assert (
        protocol_gaps(read_score_table(RunDirectory(tmp_path)).vertices, ("nested", "paper"), "roi")
        == []
    )


@pytest.mark.parametrize(
    ("n_rois", "by"),
    [(126, "group"), (127, "group"), (312, "group"), (127, "roi"), (127, "subject")],
)
def test_any_number_of_rois_without_a_ceiling_is_summarised(n_rois: int, by: By) -> None:
    names = [*ROI_ORDER[:13]]
    rois = [
        (f"subj{number:02d}", side, name)
        for number in range(1, 14)
        for side in ("lh", "rh")
        for name in names
    ][:n_rois]
    frame = pd.DataFrame(rois, columns=["subject", "hemisphere", "roi"]).assign(
        dataset="nsd", method="untuned", r=0.5, noise_ceiling=np.nan
    )
    frame["group"] = frame["roi"].map(roi_group_of)
    frame["roi_id"] = "nsd-" + frame["subject"] + "-" + frame["hemisphere"] + "-" + frame["roi"]
    unknown = frame.astype({"roi_id": pd.CategoricalDtype(frame["roi_id"].unique())})
    found = explain(unknown, by)
    assert found
    assert {(one.share, one.n_vertices) for one in found} == {(None, 0)}
    known = unknown.assign(noise_ceiling=[0.5, *[np.nan] * (n_rois - 1)])
    assert {one.n_vertices for one in explain(known, "subject")} == {0, 1}
