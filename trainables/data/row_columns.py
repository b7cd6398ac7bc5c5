"""The columns of a subject's rows, and of its images at further sizes."""

from collections.abc import Mapping

import pyarrow as pa

from trainables.spec.rois import SIDES


def row_schema(
    image_size: int, n_vertices: Mapping[str, int], *, counts_trials: bool = False
) -> pa.Schema:
    """Return the Arrow schema of an image with its responses.

    image: 3 x image_size x image_size uint8, channels first. lh, rh: float32 responses, one per
    vertex; one column ``both`` instead, where the data does not divide hemispheres. index: row of
    the response file. order: position in the split. n_trials, with counts_trials: trials that the
    responses are the mean of.
    """
    counts = [pa.field("n_trials", pa.int32(), nullable=False)] if counts_trials else []
    return pa.schema(
        [
            pa.field("index", pa.int32(), nullable=False),
            pa.field("stimulus", pa.string(), nullable=False),
            pa.field("split", pa.string(), nullable=False),
            pa.field("order", pa.int32(), nullable=False),
            *counts,
            pa.field("image", pa.binary(3 * image_size * image_size), nullable=False),
            *response_fields(n_vertices),
        ]
    )


def response_fields(n_vertices: Mapping[str, int]) -> list[pa.Field]:
    """Return the columns of responses, by hemisphere."""
    return [
        pa.field(side, pa.list_(pa.float32(), n_vertices[side]), nullable=False)
        for side in SIDES
        if side in n_vertices
    ]


def image_schema(image_size: int) -> pa.Schema:
    """Return the Arrow schema of an image at a further size; columns as in :func:`row_schema`."""
    return pa.schema(
        [
            pa.field("index", pa.int32(), nullable=False),
            pa.field("image", pa.binary(3 * image_size * image_size), nullable=False),
        ]
    )
