"""At NSD's size (721 backbones, 4 tasks): the analyses of probes.

What was planted is found again, and what is derived is derived again.
"""

import numpy as np
import pytest
import scipy.special

from orchestrator.analyze.questions import (
    brain_fit,
    classification,
    landscape,
    mutual_information,
    saliency,
)
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
from tests.builders.nsd_size import METHODS, N_ROIS, OF_ROI, nested, table_of
from trainables.probes.probe import Probed


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
