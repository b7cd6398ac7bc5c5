"""Cortical maps: overlaps are averaged, absence stays absence, pages need no network."""

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.small_shards import write_shards
from orchestrator.analyze.analysis import Inputs, Missing
from orchestrator.analyze.questions import surface
from orchestrator.report.sections.cortex import load_mesh
from orchestrator.report.sections.section import Interactive, Picture
from orchestrator.report.sections.surface import section_on
from tests.builders.small_scores import columns_of, write
from trainables.data.data_directory import VERTICES, DataDirectory
from trainables.data.shards import list_rois
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Untuned


@pytest.fixture
def inputs(tmp_path):
    rois = {roi.id: roi for roi in write_shards(tmp_path / "data", n_images=20)}
    inputs = Inputs(RunDirectory(tmp_path / "runs"), DataDirectory(tmp_path / "data"))
    v1v, v2d = rois["nsd-subj01-lh-V1v"], rois["nsd-subj01-lh-V2d"]  # columns 0-7 and 4-9
    for where, high in ((v1v, 0.5), (v2d, 0.7)):
        for objective, r in ((Untuned(), 0.3), (Contrastive(), high)):
            values = np.full(where.n_vertices, r)
            write(
                inputs.runs.path,
                objective,
                where,
                values,
                vertex=columns_of(inputs.data.path, where),
            )
    return inputs


def rows_of(inputs, method):
    frame = surface.make(inputs).to_pandas()
    places = pq.read_table(inputs.data.shard("nsd-subj01") / VERTICES).to_pandas()
    on_left = places[places["hemisphere"] == "lh"].set_index("fsaverage")["vertex"]
    frame = frame[frame["method"] == method]
    return frame.assign(vertex=frame["fsaverage"].map(on_left)).set_index("vertex").sort_index()


def test_where_rois_overlap_the_models_are_averaged(inputs):
    rows = rows_of(inputs, "contrastive")
    np.testing.assert_allclose(rows["r"], [0.5] * 4 + [0.6] * 4 + [0.7] * 2)
    np.testing.assert_allclose(rows["difference"], rows["r"] - 0.3)
    assert rows["n_models"].tolist() == [1] * 4 + [2] * 4 + [1] * 2


def test_a_vertex_without_a_score_has_no_row_and_is_not_zero_on_the_mesh(inputs):
    rows = rows_of(inputs, "contrastive")
    assert len(rows) == 10  # of twelve columns
    mesh = load_mesh()
    places = np.array([0.0, 7.0, 10_241.0, 163_841.0])
    filled = mesh.fill("lh", places, np.array([0.1, -0.2, 0.0, 9.0]))
    assert np.flatnonzero(np.isfinite(filled)).tolist() == [0, 7, 10_241]
    assert filled[7] == -0.2


def test_subjects_of_a_data_set_with_a_hyphen_in_its_name_have_maps(tmp_path):
    write_shards(tmp_path / "data", n_images=20)
    shard = (tmp_path / "data/nsd-subj01").rename(tmp_path / "data/our-lab-subj01")
    manifest = json.loads((shard / "manifest.json").read_text()) | {"dataset": "our-lab"}
    (shard / "manifest.json").write_text(json.dumps(manifest))
    data, runs = DataDirectory(tmp_path / "data"), RunDirectory(tmp_path / "runs")
    where = list_rois(data)[0]
    columns = columns_of(data.path, where)
    write(runs.path, Untuned(), where, np.full(where.n_vertices, 0.3), vertex=columns)
    rows = surface.make(Inputs(runs, data)).to_pandas()
    assert set(rows["dataset"]) == {"our-lab"}
    assert len(rows) == where.n_vertices


def test_without_the_data_the_maps_are_missing(inputs, tmp_path):
    with pytest.raises(Missing, match="fsaverage"):
        surface.make(Inputs(inputs.runs, DataDirectory(tmp_path / "elsewhere")))


@pytest.mark.slow
def test_the_section_draws_maps_and_a_surface_that_needs_no_network(inputs):
    found = section_on(surface.make(inputs), load_mesh())
    kinds = [type(figure) for figure in found.figures]
    assert kinds == [Picture, Interactive, *[Picture] * 3]  # gain, to turn; r, ceiling, layer
    for figure in found.figures:
        assert len(figure.alt) > 20
        assert "grey: no score" in figure.caption
    page = found.figures[1].page
    loads = r"""(?:<script[^>]*src|<link[^>]*href|<img[^>]*src)=["'](?:https?:)?//"""
    assert re.findall(loads, page) == []
    assert len(page) < 8_000_000
    assert any("100% have a higher r by contrastive" in one for one in found.reading)
