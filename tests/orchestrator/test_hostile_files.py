"""Files and names that users bring: read, or refused in words; never run."""

import json
import os
import pickle
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from benchmarks.small_shards import write_shards
from orchestrator.cli.errors import InputError
from orchestrator.execution.run_record import Command
from orchestrator.ingest.algonauts.mappings import read_mapping
from orchestrator.ingest.nod.trials import locate_image
from orchestrator.ingest.task.run import ingest_task
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import Manifest, list_rois
from trainables.data.tasks import TaskManifest
from trainables.models.weights import read_state
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.spec import Roi, is_name

STATE = {"a.weight": torch.arange(60.0).reshape(6, 10), "a.bias": torch.zeros(6)}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


class Bomb:
    """An object whose unpickling makes a file."""

    def __init__(self, fuse: Path) -> None:
        self.fuse = fuse

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.fuse),)


def in_one_line(error: BaseException, path: Path) -> bool:
    return str(error).startswith(f"{path}: ") and "\n" not in str(error)


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
@given(data=st.data())
def test_damaged_weights_are_read_as_tensors_or_refused(
    tmp_path_factory: pytest.TempPathFactory, ending: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("weights") / f"weights.{ending}"
    if ending == "pt":
        torch.save(STATE, path)
    else:
        save_file(STATE, path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    state: dict[str, torch.Tensor] = {}
    with suppress(ValueError):
        state = read_state(path)
    assert all(isinstance(value, torch.Tensor) for value in state.values())


@given(content=st.binary(max_size=200))
def test_bytes_of_any_kind_are_no_weights(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    for ending in ("pt", "safetensors", "pth"):
        path = tmp_path_factory.mktemp("weights") / f"weights.{ending}"
        path.write_bytes(content)
        with pytest.raises(ValueError) as refused:
            read_state(path)
        assert in_one_line(refused.value, path)


@pytest.mark.parametrize("protocol", range(6))
def test_weights_that_would_run_something_are_refused_unrun(tmp_path: Path, protocol: int) -> None:
    path, fuse = tmp_path / "weights.pt", tmp_path / "burnt"
    path.write_bytes(pickle.dumps(Bomb(fuse), protocol))
    with pytest.raises(ValueError):
        read_state(path)
    torch.save({"a": Bomb(fuse)}, path)
    with pytest.raises(ValueError):
        read_state(path)
    assert not fuse.exists()
    pickle.loads(pickle.dumps(Bomb(fuse), protocol))
    assert fuse.exists()  # it does burn elsewhere


@given(content=st.binary(max_size=300))
def test_a_mapping_of_any_bytes_is_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("mapping") / "mapping.npy"
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    for head in (b"", header.ljust(127) + b"\n"):
        path.write_bytes(head + content)
        with pytest.raises(InputError) as refused:
            read_mapping(path)
        assert in_one_line(refused.value, path)


@given(content=JSON)
def test_notes_of_any_content_are_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, content: object
) -> None:
    home = tmp_path_factory.mktemp("notes")
    for name, read in {
        "manifest.json": lambda: Manifest.read(home),
        "trials/a.json": lambda: Outcome.read(RunDirectory(home), "a"),
        "operation/command.json": lambda: Command.read(RunDirectory(home)),
    }.items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(json.dumps(content))
        with pytest.raises(ValueError, match=re.escape(f"{home / name}: ")):
            read()
    with pytest.raises(ValueError, match=re.escape(f"{home / 'manifest.json'}: ")):
        TaskManifest.read(home)


HOSTILE_NAMES = (
    "../x",
    "a/b",
    "/etc",
    "",
    ".",
    "..",
    ".x",
    "a\nb",
    "a\0b",
    "a b",
    "-x",
    "é",
    "a" * 65,
)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_that_leave_their_directory_are_refused(tmp_path: Path, name: str) -> None:
    for names in ((name, "subj01", "V1v"), ("nsd", name, "V1v"), ("nsd", "subj01", name)):
        with pytest.raises(
            ValueError, match=r"expected a name that can be part of a path \(letters, "
        ):
            Roi(names[0], names[1], "lh", names[2], 5, "0")
    with pytest.raises(InputError, match="--name"):
        ingest_task(tmp_path, DataDirectory(tmp_path / "out"), name, "imagefolder")
    assert list(tmp_path.iterdir()) == []


@given(name=st.text(max_size=70))
def test_what_is_a_name_is_one_part_of_a_path(name: str) -> None:
    if is_name(name):
        assert (Path("/here") / f"{name}.json").resolve() == Path(f"/here/{name}.json")
        assert "/" not in name
        assert name.isprintable()


@pytest.mark.parametrize("key", ["subject", "dataset", "rois", "files"])
def test_a_manifest_with_a_hostile_name_is_refused(tmp_path: Path, key: str) -> None:
    [shard] = {tmp_path / roi.shard for roi in write_shards(tmp_path)}
    path = shard / "manifest.json"
    content = json.loads(path.read_text())
    if key == "rois":
        content["rois"]["lh"]["../../V1v"] = 3
    elif key == "files":
        content["files"]["../../etc/passwd"] = "0"
    else:
        content[key] = "../elsewhere"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"manifest\.json: .*expected a name .*, found '\.\."):
        list_rois(DataDirectory(tmp_path))


@given(name=st.text("./a_\\~", max_size=12))
@example(name="//")
@settings(deadline=None)
def test_an_image_is_looked_for_within_its_folder_alone(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    home = tmp_path_factory.mktemp("stimuli")
    (home / "a").write_text("outside")
    (home / "in").mkdir()
    for asked in (name, f"../{name}", str(home / "a")):
        found = locate_image(home / "in", asked)
        assert found.resolve().is_relative_to(home / "in")
