"""Single trials added to the shards of a subject that has means alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainables.data.data_directory import manifest_file, row_files
from trainables.data.loading import read_subject
from trainables.data.rows import RowWriter
from trainables.data.shards import Manifest
from trainables.data.trials import trial_schema
from trainables.storage.atomic import hash_files, write_text


def add_trials(shard: Path, counts: NDArray[np.int64], noise: float = 1.0) -> None:
    """Add trials whose means are a subject's responses; counts: (n_images,) of each image."""
    subject = read_subject(shard)
    generator = np.random.default_rng(0)
    images = np.repeat(np.sort(subject.train_rows), counts[np.sort(subject.train_rows)])
    columns = {name: pa.array(v, pa.int32()) for name, v in (("index", images),)}
    columns["trial"] = pa.array(range(len(images)), pa.int32())
    for side, means in subject.responses.items():
        drawn = generator.standard_normal((len(images), means.shape[1]))
        for image in np.unique(images):
            own = images == image
            drawn[own] -= drawn[own].mean(axis=0)
        values = (means[images] + noise * drawn).astype(np.float32)
        columns[side] = pa.FixedSizeListArray.from_arrays(
            pa.array(values.reshape(-1)), values.shape[1]
        )
    with RowWriter(shard, trial_schema(subject.manifest.n_vertices), "trials") as rows:
        rows.write(columns)
        content = rows.close()
    for path in row_files(shard):
        table = pq.read_table(path)
        of_rows = pa.array(counts[table["index"].to_numpy()], pa.int32())
        field = pa.field("n_trials", pa.int32(), nullable=False)
        pq.write_table(table.append_column(field, of_rows), path, row_group_size=64)
    files = hash_files(path for path in shard.iterdir() if path != manifest_file(shard))
    manifest = replace(Manifest.read(shard), files=files, n_trials=len(images), content=content)
    write_text(manifest_file(shard), manifest.to_json())
