"""ROIs of NOD are planned like others, and the paper's spaces leave them to the evaluation."""

from dataclasses import replace

from orchestrator.cli.selection import Selection, parse_rois, select
from orchestrator.execution.plan import make_plan
from orchestrator.scores.score_table import read_score_table
from orchestrator.sweep.spaces import expand, load_search, load_space
from tests.builders.nod_ingest import ingest
from tests.builders.planned_rois import COSTS
from tests.builders.small_scores import write as write_score
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import list_rois
from trainables.results.run_directory import RunDirectory
from trainables.spec import Untuned
from trainables.spec.rois import (
    EARLY,
    NOD_ROIS,
    NSD_OF_NOD,
    ROI_FAMILIES,
)


def test_every_nod_roi_is_early_and_served_by_an_early_nsd_roi() -> None:
    assert set(NSD_OF_NOD.values()) <= set(ROI_FAMILIES["prf-visualrois"])
    assert set(NOD_ROIS) <= set(EARLY)
    assert parse_rois("V4,V1,EBA") == ("V1", "V4", "EBA")


OWN_SPACE = """
from trainables.spec import Contrastive, Trial, Untuned

def trials(rois):
    for roi in rois:
        yield Trial(Untuned(), (roi,))
        yield Trial(Contrastive(), (roi,))
"""


def test_the_papers_spaces_leave_nod_to_the_evaluation(source, tmp_path) -> None:
    ingest(source, tmp_path)
    nod = list_rois(DataDirectory(tmp_path))
    nsd = [replace(nod[0], dataset="nsd", subject="subj01", name="V1v", n_vertices=30)]
    for name in ("paper", "pooled", "controls"):
        assert list(load_space(name)(nod)) == []
        # Areas of these names in other data are tuned.
        named = [replace(roi, dataset="mosaic-nsd") for roi in nod]
        both = [*named, *(replace(roi, subject="sub-02") for roi in named)]
        assert {trial.rois[0].name for trial in load_space(name)(both)} == set(NOD_ROIS)
    assert load_search("hyperparameter_search").choose([*nod, *nsd]) == [(nsd[0],)]
    other = [replace(nod[0], dataset="mosaic-nsd", n_vertices=30)]
    assert load_search("hyperparameter_search").choose([*nod, *other]) == [(other[0],)]


def test_a_space_plans_nod_rois_like_others(source, tmp_path) -> None:
    ingest(source, tmp_path)
    chosen = select(
        list_rois(DataDirectory(tmp_path)), Selection((1,), ("lh",), parse_rois("early"))
    )
    own = tmp_path / "space.py"
    own.write_text(OWN_SPACE)
    trials = expand(load_space(str(own)), chosen, None)
    assert len(make_plan(trials, RunDirectory(tmp_path / "runs"), COSTS).waiting) == 1 + 4
    write_score(tmp_path / "runs", Untuned(), chosen[0], [0.25] * 4)
    assert set(read_score_table(RunDirectory(tmp_path / "runs")).vertices["group"]) == {"early"}
