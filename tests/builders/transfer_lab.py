"""Three subjects, of weights alike and orthogonal, and a model of the first."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from tests.builders.transfer_shards import (
    REGRESSION,
    TransferLab,
    narrow_backbone,
    weights_on,
    write_subjects,
)
from trainables.data import loading
from trainables.data.rows import read_rows
from trainables.models import backbones
from trainables.spec import Trial

QUICK = replace(REGRESSION, epochs=1)


@pytest.fixture(scope="module")
def narrow_without_ray() -> Iterator[None]:
    """Read without Ray, and know the narrow backbone by its name."""
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "stream", read_rows)
        patch.setitem(backbones.OWN_ARCHITECTURES, "narrow", narrow_backbone)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def lab(narrow_without_ray: None, tmp_path_factory: pytest.TempPathFactory) -> TransferLab:
    """Subject 2's weights are subject 1's; subject 3's are on the other patterns.

    Of each one's 50 test images, subject 1 was trained on 20 of subject 2's and none of 3's.
    """
    home = tmp_path_factory.mktemp("transfer")
    first, other = range(4), range(4, 8)
    write_subjects(
        home / "data",
        {"subj01": weights_on(first), "subj02": weights_on(first), "subj03": weights_on(other)},
        {
            "subj01": (range(150), range(200, 250)),
            "subj02": (range(1000, 1150), range(130, 180)),
            "subj03": (range(2000, 2150), range(200, 250)),
        },
    )
    return TransferLab.open(home)


@pytest.fixture(scope="module")
def quick(lab) -> Trial:
    """A model of subject 1 that is trained for an epoch."""
    model = lab.trial(QUICK, lab.roi(1))
    lab.run(model)
    return model
