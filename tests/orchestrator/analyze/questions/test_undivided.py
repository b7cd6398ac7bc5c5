"""Tables of data that does not divide hemispheres."""

import itertools

import numpy as np
import pytest

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.catalogue import find
from orchestrator.analyze.model_groups import MODEL_GROUPS, model_group_of
from orchestrator.report.sections import improvement as section
from tests.builders.small_scores import METHODS, roi, write, write_of
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive
from trainables.spec.evaluation import Evaluation

SUBJECTS = ("subj01", "subj02", "subj03")
GAIN = 0.1


@pytest.fixture(scope="module")
def undivided(tmp_path_factory):
    """Untuned, regression and contrastive, better by GAIN, on one ROI of both hemispheres."""
    home = tmp_path_factory.mktemp("undivided")
    for number, subject in enumerate(SUBJECTS):
        base = np.linspace(0.2, 0.5, 4) + number / 100
        for objective in METHODS:
            gain = GAIN + number / 1000 if isinstance(objective, Contrastive) else 0.0
            model = write(home, objective, roi(subject=subject, hemisphere="both"), base + gain)
        other = roi(subject=SUBJECTS[number - 1], hemisphere="both")
        write_of(home, Evaluation(model, (other,)), other, base, ("nested",))
    return Inputs(RunDirectory(home), DataDirectory(home / "data"))


def table(inputs, name):
    (one,) = find([name])
    return one.make(inputs).to_pandas()


def test_each_roi_has_one_row_and_the_tests_over_subjects(undivided):
    rows = table(undivided, "improvement")
    own = rows[(rows["method"] == "contrastive") & (rows["reference"] == "untuned")]
    assert set(own["hemisphere"]) == {"both"}
    np.testing.assert_allclose(own["difference"], GAIN + 0.001, atol=1.1e-3)
    assert sorted(own.loc[own["level"] == "subject-roi", "subject"]) == list(SUBJECTS)
    (of_roi,) = own[own["level"] == "roi"].to_dict("records")
    assert of_roi["t_p"] < 0.01
    assert np.isnan(of_roi["lh_minus_rh"])
    (reading,) = section._read_tests(own)
    assert "of 1 ROI, 1 are better" in reading
    assert "hemisphere" not in reading


def test_transfer_has_each_row_once(undivided):
    rows = table(undivided, "transfer")
    assert set(rows["hemisphere"]) == {"both"}
    keys = ["protocol", "level", "method", "row", "model", "subject"]
    assert len(rows)
    assert not rows.duplicated(keys).any()


def test_data_of_either_kind_is_not_tested_as_one(tmp_path):
    sides = dict(zip((*SUBJECTS, "subj04"), ("both", "lh", "lh", "both"), strict=True))
    for (subject, side), objective in itertools.product(sides.items(), METHODS):
        r = np.linspace(0.1, 0.4, 4) * (1 + int(subject[-1]) * isinstance(objective, Contrastive))
        write(tmp_path, objective, roi(subject=subject, hemisphere=side), r)
    inputs = Inputs(RunDirectory(tmp_path), DataDirectory(tmp_path / "data"))
    rows = table(inputs, "improvement")
    own = rows[(rows["method"] == "contrastive") & (rows["reference"] == "untuned")]
    alone = own[own["level"] == "subject-roi"].set_index("subject")["hemisphere"]
    assert alone.to_dict() == sides
    tested = own[own["level"] == "roi"].set_index("hemisphere")["t_p"].notna()
    assert tested.to_dict() == {"both": False, "lh": True}


def test_early_backbones_have_a_group_of_their_own():
    assert model_group_of("V1v", "both") == "Early"
    assert "Early" in MODEL_GROUPS
