"""Accuracy of groups of backbones: planted answers to each image, and scipy's interval."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.model_groups import MODEL_GROUPS, model_group_of
from orchestrator.analyze.questions import classification
from orchestrator.report.sections.catalogue import SECTIONS
from tests.builders.small_scores import ENCODING
from trainables.data.data_directory import DataDirectory
from trainables.probes.classification import CLASSIFICATION
from trainables.probes.classification import SCHEMA as CLASSIFIED
from trainables.probes.probe import Probed, Result, write_result
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Roi, Trial, Untuned, digest
from trainables.spec.rois import HIGHER, ROI_FAMILIES

N_IMAGES, N_CLASSES = 200, 4
LABELS = np.arange(N_IMAGES) % N_CLASSES
PLACES = {
    "subj01": [("lh", "V1v"), ("lh", "hV4"), ("rh", "V1v"), ("lh", "FFA-1"), ("rh", "OFA")],
    "subj02": [("lh", "V1v"), ("rh", "V1v"), ("lh", "FFA-1")],
}


def trial(objective, subject, hemisphere="lh", name="V1v", seed=0):
    where = Roi("nsd", subject, hemisphere, name, 10, "0123abcd")
    return Trial(objective, (where,), encoding=ENCODING, seed=seed)


def write_answers(runs, one, correct):
    """Write a probe whose classifier is right on the images that are given as correct."""
    chosen = np.where(correct, LABELS, (LABELS + 1) % N_CLASSES)
    logs = np.log(np.where(np.arange(N_CLASSES) == chosen[:, None], 0.7, 0.1))
    rows = pd.DataFrame(
        {"index": np.arange(N_IMAGES), "label": LABELS, "log_probabilities": list(logs)}
    )
    probed, inputs = Probed(one), {"task": "objects", "data": "d", "layer": "4", "C": 1.0}
    key = digest([CLASSIFICATION.version, probed.id, inputs])
    path = runs.probe_file(CLASSIFICATION.name, f"{probed.id}-{key}")
    numbers = {"accuracy": float(np.mean(correct)), "log_loss": 1.0, "converged": True}
    sizes = {"n_test": N_IMAGES, "n_classes": N_CLASSES}
    table = CLASSIFIED.empty_table().from_pandas(rows, CLASSIFIED, preserve_index=False)
    write_result(path, CLASSIFICATION, probed, inputs, Result(table, numbers | sizes))


def answers(seed, accuracy):
    return np.random.default_rng(seed).random(N_IMAGES) < accuracy


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Inputs of probes of two subjects, and what each backbone answers correctly."""
    runs = RunDirectory(tmp_path_factory.mktemp("answers"))
    found = {"untuned": answers(0, 0.6)}
    write_answers(runs, trial(Untuned(), "subj01"), found["untuned"])
    for number, (subject, hemisphere, name) in enumerate(
        (subject, *place) for subject, places in PLACES.items() for place in places
    ):
        key = (subject, hemisphere, name)
        found[key] = answers(number + 1, 0.5 - 0.02 * number)
        write_answers(runs, trial(Contrastive(), *key), found[key])
    return Inputs(runs, DataDirectory(runs.path / "data")), found


def over_images(found, group):
    """Average the differences of a group: over a subject's backbones, then subjects, by image."""
    per_subject = [
        np.mean(
            [
                found[subject, *place].astype(float) - found["untuned"]
                for place in places
                if model_group_of(place[1], place[0]) == group
            ],
            axis=0,
        )
        for subject, places in PLACES.items()
    ]
    return np.mean(per_subject, axis=0)


def test_groups_are_those_of_the_paper():
    assert model_group_of("hV4", "lh") == "Early-L"
    assert model_group_of("V1", "rh") == "Early-R"  # NOD's
    families = ("floc-bodies", "floc-faces", "floc-places", "floc-words")
    for family, group in zip(families, ("Body", "Face", "Place", "Word"), strict=True):
        assert {model_group_of(name, "lh") for name in ROI_FAMILIES[family]} == {group}
    assert {model_group_of(name, "rh") for name in HIGHER} == {"Body", "Face", "Place", "Word"}
    assert model_group_of("MT", "lh") == "Other"
    assert MODEL_GROUPS[:6] == ("Early-L", "Early-R", "Body", "Face", "Place", "Word")


def test_the_interval_of_a_group_is_scipys_over_paired_images(planted):
    inputs, found = planted
    rows = classification.make(inputs).to_pandas()
    groups = rows[rows["level"] == "group"].set_index("model_group")
    assert list(groups.index) == ["Early-L", "Early-R", "Face"]
    assert groups["n_backbones"].tolist() == [3, 2, 3]
    for group, row in groups.iterrows():
        differences = over_images(found, group)
        interval = scipy.stats.ttest_1samp(differences, 0).confidence_interval(0.95)
        assert row["difference"] == pytest.approx(differences.mean())
        assert (row["low"], row["high"]) == pytest.approx(tuple(interval))
        assert not row["covers_subjects"]
        assert not row["covers_seeds"]
    backbones = rows[rows["level"] == "backbone"]
    assert len(backbones) == 9
    alone = classification.read_accuracies(inputs).to_pandas()
    names = ["backbone", "accuracy", "difference"]
    pd.testing.assert_frame_equal(alone[names], backbones[names].reset_index(drop=True))


def test_the_section_says_each_groups_number(planted):
    inputs, found = planted
    section = SECTIONS["classification"](classification.make(inputs))
    untuned, contrastive = section.reading
    assert f"{found['untuned'].mean():.1%}" in untuned
    for group in ("Early-L", "Early-R", "Face"):
        difference = 100 * over_images(found, group).mean()
        assert re_find(contrastive, group) == pytest.approx(difference, abs=0.051)
    assert "95 % interval over test images; subjects are taken as" in section.figures[0].caption


def re_find(sentence, group):
    """Read the percentage points after a group's name."""
    return float(sentence.split(f"{group} ")[1].split(", ")[1].split(" ")[0])


@pytest.mark.parametrize(("n_subjects", "n_seeds"), [(4, 1), (2, 2)])
def test_intervals_cover_subjects_and_seeds_where_there_are_several(tmp_path, n_subjects, n_seeds):
    runs = RunDirectory(tmp_path)
    write_answers(runs, trial(Untuned(), "subj01"), answers(0, 0.6))
    accuracies = np.zeros((n_subjects, n_seeds))
    for number, seed in np.ndindex(n_subjects, n_seeds):
        correct = answers(10 * number + seed + 1, 0.4 + 0.05 * number)
        accuracies[number, seed] = correct.mean()
        write_answers(runs, trial(Contrastive(), f"subj{number:02d}", seed=seed), correct)
    table = classification.make(Inputs(runs, DataDirectory(tmp_path / "data")))
    [row] = [one for one in table.to_pylist() if one["level"] == "group"]
    assert row["accuracy"] == pytest.approx(accuracies.mean())
    assert (row["n_backbones"], row["n_subjects"]) == (n_subjects * n_seeds, n_subjects)
    assert row["covers_subjects"] == (n_subjects > 2)
    assert row["covers_seeds"]
    if n_subjects > 2:  # no narrower than over subjects alone
        over = scipy.stats.t.interval(0.95, n_subjects - 1, 0, scipy.stats.sem(accuracies[:, 0]))
        assert row["high"] - row["difference"] > over[1]


def test_without_one_untuned_backbone_there_is_no_difference(tmp_path):
    runs = RunDirectory(tmp_path)
    write_answers(runs, trial(Contrastive(), "subj01"), answers(1, 0.5))
    table = classification.make(Inputs(runs, DataDirectory(tmp_path / "data")))
    assert [one["difference"] for one in table.to_pylist()] == [None, None]
    [_, sentence] = SECTIONS["classification"](table).reading
    assert sentence.startswith("contrastive on objects: Early-L ")
    assert "percentage points" not in sentence
