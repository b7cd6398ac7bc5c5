"""A sweep of three subjects whose models were evaluated on others."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from orchestrator.evaluate.pairs import evaluations, is_transfer
from tests.builders.transfer_shards import (
    REGRESSION,
    TransferLab,
    narrow_backbone,
    weights_on,
    write_subjects,
)
from trainables.models import backbones
from trainables.spec import Untuned

QUICK = replace(REGRESSION, epochs=8)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A sweep's models of three subjects' lh V1v and the evaluations onto subjects 1 and 3.

    Subject 1's and subject 2's weights are alike. Subject 1 was trained on five test images of
    subject 2.
    """
    home = tmp_path_factory.mktemp("done")
    first = weights_on(range(4))
    write_subjects(
        home / "data",
        {"subj01": first, "subj02": first, "subj03": weights_on(range(4, 8))},
        {
            "subj01": (range(100), range(200, 240)),
            "subj02": (range(1000, 1100), range(95, 135)),
            "subj03": (range(2000, 2100), range(200, 240)),
        },
    )
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backbones.OWN_ARCHITECTURES, "narrow", narrow_backbone)
        lab = TransferLab.open(home)
        rois = [lab.roi(subject) for subject in (1, 2, 3)]
        models = [lab.trial(QUICK, roi) for roi in rois]
        for trial in (*models, *(lab.trial(Untuned(), roi) for roi in rois)):
            lab.run(trial)
        for one in evaluations(
            models, [rois[0], rois[2]], is_transfer, exclude_training_images=False
        ):
            lab.run(one)
        yield home
    torch.set_num_threads(before)


@pytest.fixture
def home(done, monkeypatch) -> Path:
    """Work where the sweep has left its files."""
    monkeypatch.chdir(done)
    monkeypatch.setenv("COLUMNS", "120")
    return done
