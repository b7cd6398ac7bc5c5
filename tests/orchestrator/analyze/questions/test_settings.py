"""Analyses of a sweep with several settings and seeds: each by hand, none in place of another."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.backbone_columns import describe, labels_among
from orchestrator.analyze.questions import improvement, layers, pooling
from orchestrator.report.headline import headline
from orchestrator.report.sections import surface as maps
from orchestrator.scores.choice import validation_retrieval
from tests.builders.small_scores import ENCODING, roi, write, write_of
from trainables.data.data_directory import DataDirectory
from trainables.probes.probe import Probed, ProbeRecord
from trainables.results.epoch_report import EpochReport
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Encoding, Pooled, Trial, Untuned
from trainables.spec.evaluation import Evaluation

ONE, TWO = roi(n=4), roi(subject="subj02", n=4)
UNTUNED = 0.2
R = {(0.1, 0): 0.5, (0.1, 1): 0.3, (1.0, 0): 0.1, (1.0, 1): 0.1}
"""r of each temperature and seed."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Inputs:
    """Two subjects; two temperatures with two seeds; two pooled settings; one transfer."""
    home: Path = tmp_path_factory.mktemp("home")
    runs = home / "runs"
    for where in (ONE, TWO):
        write(runs, Untuned(), where, [UNTUNED] * 4)
        for (temperature, seed), r in R.items():
            objective = Contrastive(temperature=temperature)
            write(runs, objective, where, [r + 0.01 * k for k in range(4)], seed=seed)
        for epochs, r in ((5, 0.6), (9, 0.7)):
            pool = Trial(Pooled(epochs=epochs), (ONE, TWO), encoding=ENCODING)
            write_of(runs, pool, where, [r] * 4)
    model = Trial(Contrastive(temperature=0.1), (ONE,), encoding=ENCODING)
    write_of(runs, Evaluation(model, (TWO,)), TWO, [0.45] * 4)
    return Inputs(RunDirectory(runs), DataDirectory(home / "data"))


def test_each_setting_improves_by_the_mean_over_its_seeds(inputs) -> None:
    rows = improvement.make(inputs).to_pandas()
    of_group = rows[(rows["level"] == "group") & (rows["hemisphere"] == "both")]
    found = of_group.set_index("method")["difference"]
    assert found["contrastive temperature=0.1"] == pytest.approx(0.415 - UNTUNED)
    assert found["contrastive temperature=1"] == pytest.approx(0.115 - UNTUNED)
    assert set(rows["reference"]) == {"untuned"}
    shown = {row[2]: row[4] for row in headline(inputs).rows}
    assert shown["contrastive temperature=0.1"] == "+0.215"


def test_layers_count_each_seed_of_each_setting(inputs) -> None:
    rows = layers.make(inputs).to_pandas()
    found = rows[rows["layer"] == "classifier.5"].set_index("method")
    assert found.loc["contrastive temperature=0.1", ["n_models", "n_chosen"]].tolist() == [4, 4]
    assert found.at["contrastive temperature=0.1", "r"] == pytest.approx(0.415)


def test_pooled_settings_stand_beside_each_setting_of_one_subject(inputs) -> None:
    rows = pooling.make(inputs).to_pandas()
    rows = rows[rows["roi"].notna()].set_index(["method", "reference", "subject"])
    assert len(rows) == 2 * 2 * 2
    cold = rows.loc[("pooled-avg epochs=9", "contrastive temperature=0.1", "subj02")]
    assert cold[["r", "r_single", "r_cross_subject", "r_untuned"]].tolist() == pytest.approx(
        [0.7, 0.415, 0.45, UNTUNED]
    )
    warm = rows.loc[("pooled-avg epochs=9", "contrastive temperature=1", "subj02")]
    assert warm["r_single"] == pytest.approx(0.115)
    assert pd.isna(warm["r_cross_subject"])


def history(*top1: float) -> tuple[EpochReport, ...]:
    return tuple(
        EpochReport(epoch, 1.0, 1.0, 10.0, retrieval_top1=one) for epoch, one in enumerate(top1, 1)
    )


def test_retrieval_is_of_the_last_epoch_over_the_rois_that_all_settings_have(tmp_path) -> None:
    runs = RunDirectory(tmp_path)
    for temperature, places in ((0.1, (ONE, TWO)), (1.0, (ONE,))):
        for where in places:
            trial = write(tmp_path, Contrastive(temperature=temperature), where, [0.1] * 4)
            top1 = history(0.9, temperature / 2 if where == ONE else 0.99)
            Outcome(trial, "finished", "", "cpu", 0.0, {}, top1).write(runs)
    write(tmp_path, Untuned(), ONE, [0.1] * 4)
    table = Inputs(runs, DataDirectory(tmp_path / "data")).scores
    assert validation_retrieval(table, runs) == {
        "contrastive temperature=0.1": pytest.approx(0.05),
        "contrastive temperature=1": pytest.approx(0.5),
    }


@pytest.mark.parametrize(
    ("retrieval", "labels", "note"),
    [
        ((0.2, 0.3), ["contrastive temperature=1"], "retrieve the most held-back"),
        ((0.2, None), ["contrastive temperature=0.1", "contrastive temperature=1"], "were held"),
    ],
)
def test_maps_are_of_a_setting_chosen_without_test_images(
    retrieval: Sequence[float | None], labels: list[str], note: str
) -> None:
    names = ["contrastive temperature=0.1", "contrastive temperature=1", "regression", "untuned"]
    rows = pd.DataFrame({"method": names, "r": [0.9, 0.1, 0.5, 0.2]})
    rows["retrieval"] = [*retrieval, None, None]
    found, notes = maps.choose_labels(rows)
    assert found == labels
    assert note in notes[0]


def test_probed_backbones_are_named_by_their_training_alone(tmp_path) -> None:
    other = Encoding(n_components=7)
    models = [
        Trial(Contrastive(temperature=0.1), (ONE,), encoding=ENCODING),
        Trial(Contrastive(temperature=1.0), (ONE,), encoding=other),
        Trial(Untuned(), (ONE,), encoding=ENCODING),
    ]
    records = [ProbeRecord(tmp_path / "none", Probed(model), {}, {}, version=1) for model in models]
    labels = labels_among(records)
    assert [describe(one.probed, labels)["method"] for one in records] == [
        "contrastive temperature=0.1",
        "contrastive temperature=1",
        "untuned",
    ]
