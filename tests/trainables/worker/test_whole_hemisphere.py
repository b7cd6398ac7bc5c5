"""The ROI of all vertices of a hemisphere: listed and scored only where it is asked for."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.small_shards import N_VERTICES
from tests.builders.transfer_shards import TransferLab, narrow_backbone, weights_on, write_subjects
from trainables.data.data_directory import DataDirectory, manifest_file
from trainables.data.shards import Manifest, list_rois, read_planned_vertices
from trainables.models import backbones
from trainables.results.score_files import summarise
from trainables.spec import Untuned


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> TransferLab:
    home = tmp_path_factory.mktemp("whole")
    stimuli = {"subj01": (range(60), range(60, 90))}
    write_subjects(home / "data", {"subj01": weights_on(range(4))}, stimuli)
    return TransferLab.open(home)


def test_it_is_listed_last_of_its_hemisphere_and_only_if_asked_for(lab: TransferLab) -> None:
    data = DataDirectory(lab.home / "data")
    listed = list_rois(data, whole=True)
    whole = {roi.hemisphere: roi for roi in listed if roi.name == "all"}
    assert {side: roi.n_vertices for side, roi in whole.items()} == N_VERTICES
    assert [roi for roi in listed if roi.name != "all"] == list_rois(data) == lab.rois
    assert [roi.name for roi in listed if roi.hemisphere == "lh"][-1] == "all"
    for roi in whole.values():
        np.testing.assert_array_equal(
            read_planned_vertices(data, roi), np.arange(N_VERTICES[roi.hemisphere])
        )


def test_it_is_scored_by_the_subject_s_untuned_trial(
    lab: TransferLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(backbones.OWN_ARCHITECTURES, "narrow", narrow_backbone)
    listed = list_rois(DataDirectory(lab.home / "data"), whole=True)
    chosen = [roi for roi in listed if roi.name in ("V1v", "hV4", "all")]
    trial = lab.trial(Untuned(), *chosen)
    assert trial.id == lab.trial(Untuned(), lab.roi(1)).id
    scores = lab.run(trial)
    frame = scores.to_pandas().query("protocol == 'nested'")
    for side, n_vertices in N_VERTICES.items():
        of_side = frame[frame["hemisphere"] == side]
        whole = of_side[of_side["roi"] == "all"].set_index("vertex")["r"]
        assert whole.index.tolist() == list(range(n_vertices))
        others = of_side[of_side["roi"] != "all"]
        # one layer alone: what an ROI chooses is what the hemisphere does
        np.testing.assert_array_equal(others["r"], whole[others["vertex"]])
    others = frame[frame["roi"] != "all"]["r"]
    assert summarise(scores)["nested_n_vertices"] == len(others)
    assert summarise(scores)["nested_r_mean"] == pytest.approx(others.mean())


def test_an_ingested_roi_of_its_name_is_refused(lab: TransferLab, tmp_path: Path) -> None:
    content = json.loads(manifest_file(lab.home / "data" / "nsd-subj01").read_text("utf-8"))
    content["rois"]["lh"]["all"] = 3
    manifest_file(tmp_path).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match="'all' names the ROI of all vertices of a hemisphere"):
        Manifest.read(tmp_path)
