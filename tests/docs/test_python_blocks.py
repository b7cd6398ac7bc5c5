"""Search spaces in the documentation yield trials of the ROIs that they are given."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.builders.small_scores import roi
from tests.docs.test_pages import PAGES
from trainables.spec import Trial

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPACES = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(BLOCK.findall(Path(page).read_text()))
    if "def trials(rois)" in block
]


@pytest.mark.parametrize("block", SPACES)
def test_a_search_space_of_the_pages_yields_trials(block: str) -> None:
    space: dict[str, Any] = {}
    exec(compile(block, "block", "exec"), space)
    given = [roi("V1v"), roi("hV4")]
    trials = list(space["trials"](given))
    assert {one for trial in trials for one in trial.rois} == set(given)
    assert all(isinstance(one, Trial) for one in trials)
    assert len({(one.id, one.rois) for one in trials}) == len(trials) > len(given)


def test_there_are_such_blocks() -> None:
    assert len(SPACES) >= 4
