"""Where on the cortex tuning helps: maps of both hemispheres, and surfaces to turn."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestrator.drawing import DIVERGING, SEQUENTIAL
from orchestrator.grouping import method_order
from orchestrator.sections.cortex import Array, Mesh, draw_views, load_mesh, turn
from orchestrator.sections.section import Column, Interactive, Picture, Section

COLUMNS = (
    Column("method", "method"),
    Column("subject", "subject"),
    Column("hemisphere", "hemisphere"),
    Column("r", "mean r", "r"),
    Column("difference", "difference to untuned", "difference"),
    Column("share_better", "better", "share"),
    Column("explained", "median share of ceiling", "share"),
    Column("n_vertices", "vertices", "count"),
    Column("protocol", "protocol"),
)


def section(table: pa.Table) -> Section:
    """Draw the gain and r on fsaverage5."""
    return section_on(table, load_mesh())


def section_on(table: pa.Table, mesh: Mesh) -> Section:
    """Draw the gain and r of one method, the mean over subjects, of the first protocol."""
    rows = table.to_pandas()
    first = rows[rows["protocol"] == rows["protocol"].iloc[0]]
    tuned = [name for name in method_order(first["method"].unique()) if name != "untuned"]
    method = "contrastive" if "contrastive" in tuned else next(iter(tuned), "untuned")
    shown = first[first["method"] == method]
    summary = _summarise(rows)
    return Section(
        name="surface",
        title="Cortical maps",
        reading=_read(shown, method),
        figures=tuple(_figures(shown, method, mesh)),
        table=summary,
        columns=COLUMNS,
        notes=_notes(shown, mesh),
    )


def _read(rows: pd.DataFrame, method: str) -> str:
    known = rows.dropna(subset=["difference"])
    if known.empty:
        return f"The mean r of {method} over {len(rows):,} vertices is {rows['r'].mean():.3f}."
    sides = known.groupby("hemisphere")["difference"].mean()
    parts = ", ".join(f"{value:+.3f} in {name}" for name, value in sides.items())
    return (
        f"{method.capitalize()} predicts {(known['difference'] > 0).mean():.0%} of the vertices "
        "better "
        f"than untuned; the mean difference is {parts}."
    )


def _summarise(rows: pd.DataFrame) -> pd.DataFrame:
    known = rows.assign(better=(rows["difference"] > 0).where(rows["difference"].notna()))
    keys = ["protocol", "method", "dataset", "subject", "hemisphere"]
    return (
        known.astype({"better": float})
        .groupby(keys)
        .agg(
            r=("r", "mean"),
            difference=("difference", "mean"),
            share_better=("better", "mean"),
            explained=("explained", "median"),
            n_vertices=("r", "size"),
        )
        .reset_index()
    )


def _figures(rows: pd.DataFrame, method: str, mesh: Mesh) -> list[Picture | Interactive]:
    n = rows["subject"].nunique()
    protocol = rows["protocol"].iloc[0]
    told = (
        f"protocol {protocol}, mean over {n} subject{'s' if n > 1 else ''}, on {mesh.name}; grey: "
    )
    told += "no score"
    r = _spread(rows, "r", mesh)
    high = float(np.nanmax(np.concatenate(list(r.values()), dtype=float), initial=0.01))
    figures: list[Picture | Interactive] = []
    if rows["difference"].notna().any():
        gain = _spread(rows, "difference", mesh)
        limit = _reach(list(gain.values()))
        label = f"Δr, {method} − untuned"
        figures.append(
            Picture(
                draw_views(mesh, gain, label, (-limit, limit), DIVERGING),
                alt=f"Cortical maps of {label}: lateral, medial and ventral views of both "
                f"hemispheres; mean {rows['difference'].mean():+.3f}.",
                caption=f"{label} at each vertex, {told}; the scale ends at the 98th percentile.",
            )
        )
        figures += [
            Interactive(
                turn(mesh, hemisphere, values, limit, DIVERGING),
                alt=f"{label} on the {hemisphere} surface, to be turned with a pointer.",
                caption=f"{label} in {hemisphere}: drag to turn, scroll to come nearer; {told}.",
            )
            for hemisphere, values in gain.items()
            if np.isfinite(values).any()
        ]
    figures.append(
        Picture(
            draw_views(mesh, r, f"r, {method}", (0.0, high), SEQUENTIAL),
            alt=f"Cortical maps of r of {method}: three views of both hemispheres; highest "
            f"{high:.2f}.",
            caption=f"Pearson r of {method} at each vertex, {told}.",
        )
    )
    return figures


def _reach(maps: Sequence[Array]) -> float:
    values = np.abs(np.concatenate(maps))
    return max(1e-3, float(np.nanquantile(values, 0.98)) if np.isfinite(values).any() else 0.0)


def _spread(rows: pd.DataFrame, value: str, mesh: Mesh) -> dict[str, Array]:
    """Average a value over subjects at each vertex, and spread it over both hemispheres."""
    spread = {}
    for hemisphere in ("lh", "rh"):
        part = rows[rows["hemisphere"] == hemisphere].groupby("fsaverage")[value].mean().dropna()
        places, values = part.index.to_numpy(dtype=float), part.to_numpy(dtype=float)
        spread[hemisphere] = mesh.fill(hemisphere, places, values)
    return spread


def _notes(rows: pd.DataFrame, mesh: Mesh) -> tuple[str, ...]:
    places = rows[["hemisphere", "fsaverage"]].drop_duplicates()
    hidden = int((places["fsaverage"] >= mesh.n_vertices("lh")).sum())
    if not hidden:
        return ()
    return (
        f"{hidden:,} of {len(places):,} vertices are between those of {mesh.name}, and not drawn; "
        "python -m orchestrator.report --mesh fsaverage draws all.",
    )
