"""A tiny folder of one's own data, with known responses, and its ingest without Ray."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image

from orchestrator.ingest.checked import Findings
from orchestrator.ingest.folder.files import FolderChoices, find_subjects, settings_of
from orchestrator.ingest.folder.inspection import inspect_folder_subject
from orchestrator.ingest.images import decode_image
from orchestrator.ingest.writer import write_subject
from tests.builders.refused_ingest import CURES
from tests.builders.refused_ingest import errors_of as errors_with
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import Manifest

N_IMAGES, N_NEUROIDS, SIZE = 24, 10, 8
N_LEFT = 6
ROIS = {"V1": range(4), "mine": range(3, 10)}


@dataclass(frozen=True)
class Own:
    """The paths of a folder with one subject."""

    root: Path

    @property
    def subject(self) -> Path:
        return self.root / "sub-01"

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.root / name, dtype=str, keep_default_na=False)

    def save(self, name: str, table: pd.DataFrame) -> None:
        table.to_csv(self.root / name, index=False)

    def describe(self, **fields: object) -> None:
        path = self.root / "dataset.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    def responses(self) -> np.ndarray:
        return np.load(self.subject / "responses.npy")


def write_own(root: Path, *, repeats: int = 2, sessions: int = 2) -> Own:
    """Write a subject that saw each image as often, in random order."""
    own, rng = Own(root), np.random.default_rng(0)
    (root / "images" / "deep").mkdir(parents=True)
    own.subject.mkdir()
    names = [f"image-{number}" for number in range(N_IMAGES)]
    files = [f"deep/{name}.png" for name in names]
    for file in files:
        pixels = rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        Image.fromarray(pixels).save(root / "images" / file)
    sides = ["test" if number % 4 == 0 else "train" for number in range(N_IMAGES)]
    own.save("stimuli.csv", pd.DataFrame({"stimulus_id": names, "filename": files, "split": sides}))
    (root / "dataset.json").write_text(json.dumps({"name": "mine", "space": "fsaverage"}))
    shown = rng.permutation(np.repeat(names, repeats))
    session = np.arange(len(shown)) * sessions // len(shown)
    table = pd.DataFrame({"stimulus_id": shown, "session": session})
    table["repetition"] = table.groupby("stimulus_id").cumcount()
    own.save("sub-01/presentations.csv", table)
    values = (
        rng.standard_normal((len(shown), N_NEUROIDS)) * (1 + session[:, None]) + session[:, None]
    )
    np.save(own.subject / "responses.npy", values.astype(np.float32))
    side = np.repeat(["lh", "rh"], [N_LEFT, N_NEUROIDS - N_LEFT])
    ids = [f"n{number}" for number in range(N_NEUROIDS)]
    vertex = 100 + np.arange(N_NEUROIDS)
    own.save(
        "sub-01/neuroids.csv",
        pd.DataFrame({"neuroid_id": ids, "hemisphere": side, "vertex": vertex}),
    )
    members = [(f"n{number}", roi) for roi, found in ROIS.items() for number in found]
    own.save("sub-01/rois.csv", pd.DataFrame(members, columns=["neuroid_id", "roi"]))
    return own


def expected_trials(own: Own) -> pd.DataFrame:
    """Z-score within sessions, by pandas: one row per presentation."""
    shown = own.table("sub-01/presentations.csv")
    values = pd.DataFrame(own.responses().astype(np.float64))
    return values.groupby(shown["session"]).transform(
        lambda one: (one - one.mean()) / one.std(ddof=0)
    )


def expected_means(own: Own) -> pd.DataFrame:
    """Average these: rows in the order of stimuli.csv."""
    shown = own.table("sub-01/presentations.csv")
    return (
        expected_trials(own)
        .groupby(shown["stimulus_id"])
        .mean()
        .loc[list(own.table("stimuli.csv")["stimulus_id"])]
    )


def ingest_own(
    root: Path,
    out: Path,
    *,
    zscore: Any = None,
    ceiling: Any = None,
    split: Any = None,
    image_size: int = SIZE,
    repeats: Any = "mean",
) -> tuple[Mapping[str, Manifest], Findings]:
    """Ingest the subjects of a folder in this process; return their manifests."""
    files = find_subjects(root, None)
    choices = FolderChoices.of(files[0].description, zscore, ceiling, repeats)
    settings = replace(settings_of(files[0], choices, split), image_size=image_size)
    findings, manifests = Findings(), {}
    for one in files:
        subject = inspect_folder_subject(choices, one, settings.split, findings, lambda count: None)
        assert findings.complaints == []
        assert subject is not None
        raw = [decode_image(path, image_size).tobytes() for path in subject.images]
        images = pa.array(raw, pa.binary(3 * image_size**2))
        manifests[one.subject] = write_subject(subject, [(0, images)], DataDirectory(out), settings)
    return manifests, findings


OWN_CURES = (*CURES, "fill ", "add ", "rename", "keep ", "set ", "list ", "write ", "number ")


def errors_of(arguments, capsys):
    """Run the command, which a user's own files have further cures for."""
    return errors_with(arguments, capsys, OWN_CURES)


def edit(name, **columns):
    """Replace or add columns of a table; None removes one."""

    def change(own):
        table = own.table(name)
        for column, value in columns.items():
            table = table.drop(columns=column) if value is None else table.assign(**{column: value})
        own.save(name, table)

    return change


def edit_row(name, row, **values):
    def change(own):
        table = own.table(name)
        for column, value in values.items():
            table.loc[row, column] = value
        own.save(name, table)

    return change


def drop_row(name, row=0):
    return lambda own: own.save(name, own.table(name).drop(row))


def unlink(*names):
    return lambda own: [(own.root / name).unlink() for name in names]


STIMULI, SHOWN, NEUROIDS = "stimuli.csv", "sub-01/presentations.csv", "sub-01/neuroids.csv"
IMAGE = "images/deep/image-5.png"
