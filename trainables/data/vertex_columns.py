"""The columns of ``vertices.parquet``, the table of a subject's vertices."""

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

VERTEX_SCHEMA: Final = pa.schema(
    [
        pa.field("hemisphere", pa.string(), nullable=False),
        pa.field("vertex", pa.int32(), nullable=False),
        pa.field("fsaverage", pa.int32()),
        pa.field("noise_ceiling", pa.float32()),
        pa.field("rois", pa.list_(pa.string()), nullable=False),
    ]
)
"""vertex: column of the response matrix. fsaverage: vertex of the fsaverage mesh (0-163,841).
noise_ceiling: highest r that a perfect model can reach; null if unknown."""

COORDINATES: Final = {
    "grayordinate": pa.int32(),
    "fslr": pa.int32(),
    "prf_r2": pa.float32(),
    "native_vertex": pa.int32(),
    "voxel_i": pa.int32(),
    "voxel_j": pa.int32(),
    "voxel_k": pa.int32(),
}
"""Optional columns, for sources that have them. grayordinate: column of CIFTI files. fslr: vertex
of the hemisphere's 32k fsLR mesh. prf_r2: variance explained by the pRF model, in the source's
unit. native_vertex: vertex of the subject's own surface. voxel_i, voxel_j, voxel_k: place in the
source's volume, counted from 0 along the axes of its NIfTI files."""


def vertex_schema(coordinates: Mapping[str, bool]) -> pa.Schema:
    """Return the Arrow schema of vertices.

    coordinates: the names of the optional columns, in the order of COORDINATES, and whether they
    may be null. Raises KeyError for a name that COORDINATES lacks.
    """
    optional = [
        pa.field(name, COORDINATES[name], nullable=nullable)
        for name, nullable in coordinates.items()
    ]
    return pa.schema([*VERTEX_SCHEMA, *optional])
