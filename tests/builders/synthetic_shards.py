"""A small NSD-synthetic of the subject whose models `exported_models` has, half of it shuffled."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from benchmarks.small_shards import PlantedRows, write_subject
from orchestrator.evaluate import __main__ as evaluate
from orchestrator.ingest.nsd_synthetic.class_ceilings import CLASS_CEILING_SCHEMA
from tests.builders.transfer_shards import weights_on, write_subjects
from trainables.data.data_directory import class_ceilings_file, manifest_file, stimuli_file
from trainables.data.loading import read_images, read_subject
from trainables.data.shards import TEST, Manifest
from trainables.spec.rois import NSD_SYNTHETIC
from trainables.storage.atomic import hash_files, write_text

CLASSES: Final = ["planted"] * 100 + ["shuffled"] * 100 + ["few"] * 3
CEILINGS: Final = {"planted": 0.95, "shuffled": 0.5, "few": np.nan}


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of NSD-synthetic; it is not to be changed."""
    data = tmp_path_factory.mktemp("synthetic") / "data"
    write_synthetic(data)
    return data


def evaluate_ood(models: Path, data: Path, out: Path, *more: str) -> int:
    """Run the command; return its exit code."""
    places = ["--models", str(models), "--data", str(data), "--out", str(out)]
    return evaluate.main(["ood", *places, *more])


def write_synthetic(data: Path, subject: str = "subj01") -> Path:
    """Write a subject whose responses are planted as in its NSD; return its shard.

    Those of the class "shuffled" answer to other images of the class.
    """
    planted = data.parent / "planted"
    stimuli = {subject: (range(5000, 5001), range(5001, 5000 + len(CLASSES)))}
    write_subjects(planted, {subject: weights_on(range(4))}, stimuli, NSD_SYNTHETIC)
    first = planted / f"{NSD_SYNTHETIC}-{subject}"
    read = read_subject(first)
    responses = np.concatenate([read.responses["lh"], read.responses["rh"]], axis=1)
    shuffled = np.flatnonzero(np.array(CLASSES) == "shuffled")
    responses[shuffled] = responses[np.random.default_rng(0).permutation(shuffled)]
    names = [f"synthetic-{number:03d}" for number in range(1, len(CLASSES) + 1)]
    rows = PlantedRows(
        stimuli=names,
        split=[TEST] * len(CLASSES),
        order=np.arange(len(CLASSES)),
        images=read_images(first, torch.device("cpu")).numpy(),
        responses=responses,
    )
    write_subject(data, subject, rows, NSD_SYNTHETIC)
    shard = data / f"{NSD_SYNTHETIC}-{subject}"
    write_classes(shard, names)
    return shard


def write_classes(shard: Path, names: list[str]) -> None:
    """Write the tables of stimuli and of classes' ceilings, and list them in the manifest."""
    subclasses = [f"{name} {place // 4}" for place, name in enumerate(CLASSES)]
    table = pa.table({"stimulus": names, "subclass": subclasses, "class": CLASSES})
    pq.write_table(table, stimuli_file(shard))
    rows = [
        {
            "hemisphere": side,
            "class": name,
            "n_images": CLASSES.count(name),
            "noise_left": 0.5,
            "noise_ceiling": [CEILINGS[name]] * n_vertices,
        }
        for side, n_vertices in Manifest.read(shard).n_vertices.items()
        for name in CEILINGS
    ]
    pq.write_table(pa.Table.from_pylist(rows, CLASS_CEILING_SCHEMA), class_ceilings_file(shard))
    edit_manifest(shard)


def edit_manifest(shard: Path, **changes: object) -> None:
    """Change fields of a manifest, and list the files that are there."""
    files = hash_files(path for path in shard.iterdir() if path != manifest_file(shard))
    changed = replace(Manifest.read(shard), files=files, **changes)
    write_text(manifest_file(shard), changed.to_json())
