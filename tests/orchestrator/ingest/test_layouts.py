"""A folder that another command reads is refused, never read as something else."""

import re
from pathlib import Path

import pytest

from orchestrator.cli.errors import InputError
from orchestrator.ingest.algonauts.files import find_subjects as find_algonauts
from orchestrator.ingest.layouts import layout_of
from orchestrator.ingest.nod.files import find_subjects as find_nod
from orchestrator.ingest.task.sources import find_task
from tests.builders.algonauts_folder import write_folder

FIND = {
    "algonauts": lambda source: find_algonauts(source, None, None),
    "nod": lambda source: find_nod(source, None, None, None),
    "task": lambda source: find_task(source, "imagefolder"),
}


def make_source(root: Path, kind: str) -> Path:
    if kind == "nod":
        (root / "derivatives/ciftify/sub-01/results").mkdir(parents=True)
        (root / "stimuli").mkdir()
        return root
    if kind == "subject":
        return write_folder(root).root / "subj01"
    return write_folder(root, (1, 2), layout=kind).root


@pytest.mark.parametrize(
    ("command", "kind", "other"),
    [
        ("task", "subject-first", "algonauts"),
        ("task", "split-first", "algonauts"),
        ("task", "subject", "algonauts"),
        ("task", "nod", "nod"),
        ("nod", "subject-first", "algonauts"),
        ("nod", "split-first", "algonauts"),
        ("algonauts", "nod", "nod"),
    ],
)
def test_a_folder_of_another_layout_is_refused_with_its_command(
    command, kind, other, tmp_path
) -> None:
    source = make_source(tmp_path / "source", kind)
    assert layout_of(source) == other
    text = f"layout of `ingest {command}`, found that of `ingest {other}`; use that command"
    with pytest.raises(InputError, match=re.escape(text)):
        FIND[command](source)


def test_classes_are_of_no_subject(tmp_path) -> None:
    for name in ("ant", "bee", "training_images"):
        (tmp_path / name).mkdir()
    assert layout_of(tmp_path) is None
