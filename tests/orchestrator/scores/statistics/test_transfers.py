"""Transfer at NSD's size: a planted gain is recovered although subjects lack ROIs."""

import itertools
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest

from orchestrator.scores.score_table import ScoreTable
from orchestrator.scores.segments import FileScores
from orchestrator.scores.statistics.transfers import model_label, transfers
from tests.builders.small_scores import ENCODING
from trainables.spec import Contrastive, Pooled, Roi, Trial, Untuned
from trainables.spec.evaluation import Evaluation, method_on
from trainables.spec.rois import ROI_ORDER, roi_group_of
from trainables.spec.setting import setting_of

N_VERTICES = 3
N_ROIS = 312
"""ROIs of NSD's eight subjects that have vertices, of 8 × 2 × 24."""
GAIN = 0.01


def present_rois():
    """List 312 ROIs: every early one, and of the higher ones as many as NSD has."""
    subjects = [f"subj{number:02d}" for number in range(1, 9)]
    names = [name for name in ROI_ORDER if roi_group_of(name) in ("early", "higher")][:24]
    rois = [
        Roi("nsd", *place, N_VERTICES, "0123abcd")
        for place in itertools.product(subjects, ("lh", "rh"), names)
    ]
    early = [roi for roi in rois if roi_group_of(roi.name) == "early"]
    higher = [roi for roi in rois if roi_group_of(roi.name) == "higher"]
    kept = np.random.default_rng(0).choice(len(higher), N_ROIS - len(early), replace=False)
    return [*early, *(higher[k] for k in sorted(kept))]


def untuned_r(roi):
    """Mean r of the untuned backbone: from 0.05 to 0.5, by ROI and subject."""
    return 0.05 + 0.015 * ROI_ORDER.index(roi.name) + 0.01 * int(roi.subject[-1])


def work_items(rois):
    """Yield each trial and evaluation with the ROI that it scores."""
    models = defaultdict(list)
    for roi in rois:
        yield Trial(Untuned(), (roi,), encoding=ENCODING), roi, 0.0
        model = Trial(Contrastive(), (roi,), encoding=ENCODING)
        models[roi.hemisphere, roi.name].append(model)
        yield model, roi, 3 * GAIN
    for alike in models.values():
        for one, other in itertools.permutations(alike, 2):
            yield Evaluation(one, other.rois), other.rois[0], GAIN


def score_table(items):
    """Make a table of scores in memory."""
    rows = [
        {
            **{"trial_id": item.id, "method": method_on(item, roi), "dataset": roi.dataset},
            **{"subject": roi.subject, "hemisphere": roi.hemisphere, "roi": roi.name},
            **{
                "trained_on": item.trained_on,
                "protocol": "nested",
                "roi_id": roi.id,
                "group": roi_group_of(roi.name),
            },
            **{
                "data": roi.data,
                "setting": setting_of(item).digest,
                "file": number,
                "first": 0,
                "n": N_VERTICES,
            },
        }
        for number, (item, roi, _) in enumerate(items)
    ]
    vertex = np.arange(N_VERTICES, dtype=np.int32)
    files = tuple(
        FileScores(None, vertex, untuned_r(roi) + gain + 0.01 * vertex, ())
        for _, roi, gain in items
    )
    return ScoreTable(pd.DataFrame(rows), files, {item.id: item for item, _, _ in items})


def test_the_planted_gain_is_recovered_in_every_pair_of_every_group():
    rois = present_rois()
    assert len(rois) == N_ROIS
    has = {
        subject: {(r.hemisphere, r.name) for r in rois if r.subject == subject}
        for subject in {roi.subject for roi in rois}
    }
    assert len({len(one) for one in has.values()}) > 1
    for found in transfers(score_table(list(work_items(rois)))):
        for (model, target), entry in found.entries.items():
            assert entry.gain == pytest.approx(3 * GAIN if entry.is_own else GAIN)
            assert entry.own - entry.untuned == pytest.approx(3 * GAIN)
            shared = [
                roi
                for roi in rois
                if roi.subject == target
                and (roi.hemisphere, roi.name) in has[model]
                and found.row.label in ("all", roi_group_of(roi.name))
            ]
            assert entry.n_rois == len(shared)
            assert entry.untuned == pytest.approx(0.01 + np.mean([untuned_r(r) for r in shared]))


def test_rois_without_untuned_scores_are_left_out_and_counted():
    rois = [roi for roi in present_rois() if roi.name in ("V1v", "V2v") and roi.hemisphere == "lh"]
    items = [
        (item, roi, gain)
        for item, roi, gain in work_items(rois)
        if not (isinstance(item, Trial) and item.method == "untuned" and roi.name == "V2v")
    ]
    [found] = transfers(score_table(items))
    for entry in found.entries.values():
        assert (entry.n_rois, entry.n_unpaired) == (1, 1)
        assert entry.mean - entry.untuned == pytest.approx(3 * GAIN if entry.is_own else GAIN)


def test_models_that_differ_in_their_seed_are_averaged_and_count_once():
    own, other = (Roi("nsd", f"subj0{k}", "lh", "V1v", N_VERTICES, "0123abcd") for k in (1, 2))
    models = [Trial(Contrastive(), (own,), encoding=ENCODING, seed=seed) for seed in (0, 1)]
    untuned = [(Trial(Untuned(), (roi,), encoding=ENCODING), roi, 0.0) for roi in (own, other)]
    tuned = [(Evaluation(one, (other,)), other, g) for one, g in zip(models, (2, 4), strict=True)]
    trials = [(one, own, 1.0) for one in models]
    found = transfers(score_table([*untuned, *trials, *tuned]))[0].entries["subj01", "subj02"]
    assert found.gain == pytest.approx(3)
    assert found.n_rois == 1
    assert not found.is_own


def test_models_and_targets_are_in_order_and_come_once():
    rois = [Roi("nsd", f"subj0{k}", "lh", "V1v", N_VERTICES, "0123abcd") for k in (3, 1, 2)]
    untuned = [(Trial(Untuned(), (roi,), encoding=ENCODING), roi, 0.0) for roi in rois]
    models = [Trial(Contrastive(), (roi,), encoding=ENCODING) for roi in rois]
    own = [(one, one.rois[0], 2.0) for one in models]
    tuned = [(Evaluation(one, (rois[2],)), rois[2], 1.0) for one in models[:2]]
    [found] = transfers(score_table([*untuned, *own, *tuned]))
    assert found.models == found.targets == ("subj01", "subj02", "subj03")


def test_targets_of_two_data_sets_are_named_with_theirs():
    own, other = (Roi("nsd", f"subj0{k}", "lh", "V1v", N_VERTICES, "0123abcd") for k in (1, 2))
    nod = Roi("nod", "sub-01", "lh", "V1", N_VERTICES, "0123abcd")
    model = Trial(Contrastive(), (own,), encoding=ENCODING)
    untuned = [(Trial(Untuned(), (one,), encoding=ENCODING), one, 0.0) for one in (own, other, nod)]
    tuned = [(Evaluation(model, (one,)), one, gain) for one, gain in ((other, 1.0), (nod, 2.0))]
    found = transfers(score_table([*untuned, (model, own, 3.0), *tuned]))
    gains = {
        (one.method, *pair): round(entry.gain, 9)
        for one in found
        for pair, entry in one.entries.items()
    }
    assert gains == {
        ("transfer-contrastive", "subj01", "nsd-subj01"): 3.0,
        ("transfer-contrastive", "subj01", "nsd-subj02"): 1.0,
        ("nod-contrastive", "subj01", "nod-sub-01"): 2.0,
    }


def test_all_numbers_are_over_the_vertices_that_both_score():
    own, other = (Roi("nsd", f"subj0{k}", "lh", "V1v", N_VERTICES, "0123abcd") for k in (1, 2))
    model = Trial(Contrastive(), (own,), encoding=ENCODING)
    holes = [np.array([0, 0, np.nan]), np.array([0, 0.3, 0.9])]
    items = [
        (Trial(Untuned(), (own,), encoding=ENCODING), own, 0.0),
        (Trial(Untuned(), (other,), encoding=ENCODING), other, holes[0]),
        (Evaluation(model, (other,)), other, holes[1]),
    ]
    found = transfers(score_table(items))[0].entries["subj01", "subj02"]
    assert found.untuned == pytest.approx(untuned_r(other) + 0.005)
    assert found.gain == pytest.approx(0.15)
    assert found.better == pytest.approx(0.5)


def test_an_equal_vertex_is_not_better():
    own, other = (Roi("nsd", f"subj0{k}", "lh", "V1v", N_VERTICES, "0123abcd") for k in (1, 2))
    model = Trial(Contrastive(), (own,), encoding=ENCODING)
    untuned = [(Trial(Untuned(), (roi,), encoding=ENCODING), roi, 0.0) for roi in (own, other)]
    gains = np.array([0.0, 0.1, -0.1])
    found = transfers(score_table([*untuned, (Evaluation(model, (other,)), other, gains)]))[0]
    assert found.entries["subj01", "subj02"].better == pytest.approx(1 / 3)


def test_a_model_is_named_by_its_subject_and_a_pool_by_its_numbers():
    rois = [Roi("nsd", f"subj0{k}", side, "V1v", 3, "0") for k in (1, 3) for side in ("lh", "rh")]
    pooled = Trial(Pooled(), tuple(rois[::2]), encoding=ENCODING)
    assert model_label(pooled) == model_label(Evaluation(pooled, (rois[1],))) == "1+3"
    assert model_label(Trial(Untuned(), tuple(rois[:2]), encoding=ENCODING)) == "subj01"
    named = [Roi("lab", name, "lh", "V1v", 3, "0") for name in ("anna", "sub-12")]
    assert model_label(Trial(Pooled(), tuple(named), encoding=ENCODING)) == "anna+12"
