"""The commands and the Python of the documentation run, on small simulated data.

A sweep that would take long is planned with ``--dry-run``; what is left out is listed with its
reason.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import mlflow
import pytest

from tests.docs.documented_lab import SIZE, DocumentedLab
from tests.docs.test_commands import command_lines
from tests.docs.test_pages import PAGES

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPACE: Final = "def trials(rois)"

LEFT_OUT: Final = {
    ("ingest", "nod"): "NOD is simulated and ingested by its own tests",
    ("evaluate", "nod"): "needs NOD",
    ("ingest", "nsd-synthetic"): "NSD-synthetic is simulated and ingested by its own tests",
    ("evaluate", "ood"): "needs NSD-synthetic",
    ("ingest", "task"): "needs Caltech256",
    ("analyze",): "minutes; the demonstration and its own tests run it",
    ("mlflow-server",): "a server does not end",
    ("source",): "a path of minutes, whose steps are run on the other pages",
    ("whole_hemisphere_demo",): "as before",
    ("weights.safetensors",): "as before",
}
"""Words of commands, and why the commands that have them are not run."""
WEIGHTS: Final = ("--weights", "demo/weights.safetensors")
RUNNABLE = [page for page in PAGES if command_lines(page) or PYTHON.search(page.read_text())]


def is_left_out(words: list[str]) -> bool:
    return any(set(left) <= set(words) for left in LEFT_OUT)


def as_run(words: list[str]) -> list[str]:
    """Return a page's command with what makes it small: other images, a plan, no Ray."""
    if words[0] == "ingest":
        return [*words, "--image-size", str(SIZE)]
    if words[0] == "export":
        return [*words, *WEIGHTS]
    if words[0] == "evaluate":
        return [*dict.fromkeys([*words, "--dry-run"])]
    if words[0] != "sweep" or words[1:2] == ["status"]:
        return words
    own = ["--local"] if "demo/data" in words else ["--dry-run"]
    return [*words, *(one for one in own if one not in words and "--dry-run" not in words)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, local_ray: str) -> Iterator[DocumentedLab]:
    lab = DocumentedLab(tmp_path_factory.mktemp("documented"))
    lab.make()
    yield lab
    mlflow.set_tracking_uri(None)  # which a page has set


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.stem)
def test_a_page_runs(page: Path, lab: DocumentedLab, capfd: pytest.CaptureFixture[str]) -> None:
    """Its search space is saved, its commands are run, then its other Python."""
    blocks = PYTHON.findall(page.read_text())
    for block in blocks:
        if SPACE in block:
            for name in ("my_space.py", "temperatures.py"):
                (lab.home / name).write_text(block)
    for name, arguments in command_lines(page):
        words = as_run([name, *arguments])
        if not is_left_out(words) and words not in (["sweep"], ["sweep", "--dry-run"]):
            code = lab.run(*words)
            assert code == 0, f"{' '.join(words)}\n{capfd.readouterr().err}"
    names: dict[str, Any] = {}
    for block in blocks:
        if SPACE not in block:
            lab.python(lab.with_own_names(block), names)


def test_nothing_is_left_out_that_no_page_has() -> None:
    named = [[name, *arguments] for page in PAGES for name, arguments in command_lines(page)]
    unused = [left for left in LEFT_OUT if not any(set(left) <= set(one) for one in named)]
    assert unused == [("mlflow-server",)]
