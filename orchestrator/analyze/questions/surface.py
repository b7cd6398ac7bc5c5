"""Scores vertex by vertex on fsaverage: r, gain over untuned, layer, and share of the ceiling.

Paper: cortical maps of Δr (contrastive − untuned); where ROIs overlap, the mean over the models
that cover the vertex. Streams, which cover the same vertices again, are left out.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestrator.analyze.analysis import Analysis, Inputs, Missing
from orchestrator.scores.choice import validation_retrieval
from orchestrator.scores.filters import one_model_per_roi
from orchestrator.scores.references import join_untuned
from trainables.data.data_directory import DataDirectory, vertices_file
from trainables.data.shards import Manifest
from trainables.data.verification import read_vertex_table
from trainables.spec.rois import ATLAS_GROUP

SCHEMA = pa.schema(
    [
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("hemisphere", pa.string(), nullable=False),
        pa.field("fsaverage", pa.int32(), nullable=False),
        pa.field("roi", pa.string(), nullable=False),
        pa.field("r", pa.float64(), nullable=False),
        pa.field("r_untuned", pa.float64()),
        pa.field("difference", pa.float64()),
        pa.field("explained", pa.float64()),
        pa.field("layer", pa.string(), nullable=False),
        pa.field("depth", pa.int32(), nullable=False),
        pa.field("n_models", pa.int32(), nullable=False),
        pa.field("retrieval", pa.float64()),
    ]
)
"""fsaverage: vertex of the mesh, 0 to 163,841. r: mean over the n_models ROIs whose models cover
the vertex; r_untuned and difference: mean over those of them that untuned scores too. explained:
r·|r| / ceiling², null without a ceiling. roi, layer: of the model with the highest r, the layer it
chose; depth: the layer's position among the encoded ones, from 0. retrieval: of held-back training
images by the models of the method's setting, by which one of several can be chosen; null where none
were held back."""

PLACE = ["dataset", "subject", "hemisphere", "vertex"]


def make(inputs: Inputs) -> pa.Table:
    """Map every method's scores to fsaverage; Missing where no scored subject is on it."""
    places = _places(inputs.data)
    parts = [
        part for protocol in inputs.protocols for part in _of_protocol(inputs, protocol, places)
    ]
    if not parts:
        raise Missing(
            f"{inputs.data} has no scored subject with fsaverage vertices, which data on other "
            "meshes (fsLR, as NOD and MOSAIC; the subject's own surface) or in volumes lack",
            "give --data the directory that the sweep ran on, if it was another; "
            "orchestrator.api has surface_image for surfaces of fsLR or of the subject, and "
            "volume_image",
        )
    rows = pd.concat(parts, ignore_index=True)
    rows["depth"] = rows["layer"].map(_depths(inputs))
    rows["retrieval"] = rows["method"].map(validation_retrieval(inputs.scores, inputs.runs))
    return pa.Table.from_pandas(rows[SCHEMA.names], SCHEMA, preserve_index=False)


def _depths(inputs: Inputs) -> dict[str, int]:
    """Rank the encoded layers in order, those of another backbone after them."""
    encodings = [one.encoding for one in inputs.scores.trials.values() if one.encoding]
    layers = dict.fromkeys(layer for encoding in encodings for layer in encoding.layers)
    return {layer: place for place, layer in enumerate(layers)}


def _of_protocol(inputs: Inputs, protocol: str, places: pd.DataFrame) -> Iterator[pd.DataFrame]:
    kept, _ = one_model_per_roi(inputs.of_protocol(protocol))
    # Paired within each ROI: a method may lack one of the ROIs that cover a vertex.
    paired = _without_streams(join_untuned(kept.over_seeds, kept))
    paired["difference"] = paired["r"] - paired["r_untuned"]
    best = (
        _without_streams(kept.vertices)
        .sort_values("r", kind="stable")
        .drop_duplicates(["method", *PLACE], keep="last")
    )
    means = paired.groupby(["method", *PLACE]).agg(
        r=("r", "mean"),
        r_untuned=("r_untuned", "mean"),
        difference=("difference", "mean"),
        n_models=("r", "size"),
    )
    joined = means.reset_index().merge(
        best[["method", *PLACE, "layer", "roi"]], on=["method", *PLACE]
    )
    joined = joined.merge(places, on=PLACE)
    if joined.empty:
        return
    ceiling = joined["noise_ceiling"].where(joined["noise_ceiling"] > 0)
    yield joined.assign(
        protocol=protocol,
        explained=joined["r"] * joined["r"].abs() / ceiling**2,
    )


def _without_streams(vertices: pd.DataFrame) -> pd.DataFrame:
    """Keep the vertices with an r of ROIs that are no streams or an atlas's; text as text."""
    kept = vertices[~vertices["group"].isin(("streams", ATLAS_GROUP))].dropna(subset=["r"])
    return kept.astype(
        {name: str for name in ("method", *PLACE, "layer", "roi") if name != "vertex"}
    )


def _places(data: DataDirectory) -> pd.DataFrame:
    """Read each subject's vertices on fsaverage; those on another mesh have none."""
    columns = ["hemisphere", "vertex", "fsaverage", "noise_ceiling"]
    parts = []
    for shard in data.shards():
        manifest = Manifest.read(shard)
        frame = read_vertex_table(shard, columns).to_pandas()
        of_subject = {"dataset": manifest.dataset, "subject": manifest.subject}
        parts.append(frame.dropna(subset=["fsaverage"]).assign(**of_subject))
    if not parts:
        return pd.DataFrame(columns=[*columns, "dataset", "subject"])
    found: pd.DataFrame = pd.concat(parts, ignore_index=True).astype({"fsaverage": np.int32})
    return found


def _sources(inputs: Inputs) -> list[Path]:
    return [*inputs.score_files(), *(vertices_file(shard) for shard in inputs.data.shards())]


ANALYSIS = Analysis(
    name="surface",
    question="Where on the cortex does fine-tuning help?",
    schema=SCHEMA,
    make=make,
    sources=_sources,
    version=4,
)
