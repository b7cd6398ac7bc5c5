"""Shards whose responses are divided into hemispheres, or not."""

import numpy as np
import pyarrow as pa
import pytest

from tests.builders.small_scores import roi
from trainables.data.row_columns import row_schema


@pytest.mark.parametrize(
    ("n_vertices", "columns"),
    [({"rh": 2, "lh": 3}, ["lh", "rh"]), ({"both": 5}, ["both"]), ({"rh": 2}, ["rh"])],
)
def test_rows_have_a_column_per_hemisphere_that_there_is(n_vertices, columns):
    schema = row_schema(8, n_vertices)
    assert schema.names == ["index", "stimulus", "split", "order", "image", *columns]
    for name in columns:
        assert schema.field(name).type == pa.list_(pa.float32(), n_vertices[name])


def test_an_roi_of_both_hemispheres_has_an_id():
    assert roi("PPA", hemisphere="both").id == "nsd-subj01-both-PPA"
    assert np.unique([roi(hemisphere=side).id for side in ("lh", "rh", "both")]).size == 3
