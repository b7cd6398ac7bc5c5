"""Where on the cortex fine-tuning helps: maps of both hemispheres, and interactive surfaces."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestrator.cli.text import count
from orchestrator.report.sections.cortex import (
    Array,
    Mesh,
    Scale,
    draw_views,
    load_mesh,
    stepped,
    turn,
)
from orchestrator.report.sections.section import Column, Interactive, Picture, Section
from orchestrator.report.style import DIVERGING, SEQUENTIAL
from orchestrator.scores.rows import method_order
from trainables.spec.labels import method_of

COLUMNS = (
    Column("method", "method"),
    Column("subject", "subject"),
    Column("hemisphere", "hemisphere"),
    Column("r", "mean r", "r"),
    Column("difference", "difference from untuned", "difference"),
    Column("share_better", "vertices better", "share"),
    Column("explained", "median share of ceiling", "share"),
    Column("n_vertices", "vertices", "count"),
    Column("protocol", "protocol"),
)
VIEWS: Final = "a flat patch with the outlines of ROIs, posterior and ventral views"


def section(table: pa.Table) -> Section:
    """Draw the gain and r on fsaverage5."""
    return section_on(table, load_mesh())


def section_on(table: pa.Table, mesh: Mesh) -> Section:
    """Draw the gain and r of one method, the mean over subjects, of the first protocol.

    Of several settings of the method, that of the best retrieval of held-back images is drawn; if
    none were held back, the gain of each.
    """
    rows = table.to_pandas()
    first = rows[rows["protocol"] == rows["protocol"].iloc[0]]
    labels, notes = choose_labels(first)
    parts = [first[first["method"] == label] for label in labels]
    if len(labels) == 1:
        figures = _figures(parts[0], labels[0], mesh)
    else:
        figures = [
            next(_gain(part, label, mesh)) for label, part in zip(labels, parts, strict=True)
        ]
    return Section(
        name="surface",
        title="Cortical maps",
        reading=tuple(_read(part, label) for label, part in zip(labels, parts, strict=True)),
        figures=tuple(figures),
        table=_summarise(rows),
        columns=COLUMNS,
        notes=(*notes, *_notes(parts[0], mesh)),
    )


def choose_labels(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Choose the settings to draw without any test image; return labels, and a note on why."""
    present = method_order(rows["method"].unique())
    finetuned = [label for label in present if method_of(label) != "untuned"] or present
    methods = [method_of(label) for label in finetuned]
    method = "contrastive" if "contrastive" in methods else methods[0]
    labels = [label for label in finetuned if method_of(label) == method]
    if len(labels) == 1:
        return labels, []
    known = rows.drop_duplicates("method").set_index("method")["retrieval"].loc[labels]
    if known.isna().any():
        why = "no training images were held back to choose one by, so the gain of each is drawn"
        return labels, [f"{method} has {len(labels)} settings: {why}."]
    best = str(known.idxmax())
    return [best], [
        f"{method} has {len(labels)} settings; {best} is drawn, whose models retrieve the most "
        f"held-back training images ({known[best]:.1%}). No test image enters this choice."
    ]


def _read(rows: pd.DataFrame, method: str) -> str:
    known = rows.dropna(subset=["difference"])
    if known.empty:
        return f"The mean r of {method} over {len(rows):,} vertices is {rows['r'].mean():.3f}."
    sides = known.groupby("hemisphere")["difference"].mean()
    parts = ", ".join(f"{value:+.3f} in {name}" for name, value in sides.items())
    return (
        f"Of {len(known):,} vertices in ROIs, early and higher together, "
        f"{(known['difference'] > 0).mean():.0%} have a higher r by {method} than by untuned; the "
        f"mean difference over vertices is {parts}."
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
    figures: list[Picture | Interactive] = []
    if rows["difference"].notna().any():
        figures += _gain(rows, method, mesh)
    figures.append(_fit(rows, method, mesh))
    if rows["explained"].notna().any():
        figures.append(_explained(rows, method, mesh))
    figures.append(_layers(rows, method, mesh))
    return figures


def _gain(rows: pd.DataFrame, method: str, mesh: Mesh) -> Iterator[Picture | Interactive]:
    """Draw the gain: views of both hemispheres, and an interactive surface of each."""
    gain = _spread(rows, "difference", mesh)
    limit = _reach(list(gain.values()))
    label = f"Δr, {method} − untuned"
    summary = _summary(rows, mesh)
    yield Picture(
        draw_views(mesh, gain, _rois(rows, mesh), Scale(label, -limit, limit, DIVERGING)),
        alt=f"Cortical maps of {label}: {VIEWS}; mean {rows['difference'].mean():+.3f}.",
        caption=f"{label} at each vertex, {summary}; the scale ends at the 98th percentile.",
    )
    for hemisphere, values in gain.items():
        if np.isfinite(values).any():
            yield Interactive(
                turn(mesh, hemisphere, values, limit, DIVERGING),
                alt=f"{label} on the {hemisphere} surface; drag to turn.",
                caption=f"{label} in {hemisphere}: drag to turn, scroll to zoom; {summary}.",
            )


def _fit(rows: pd.DataFrame, method: str, mesh: Mesh) -> Picture:
    r = _spread(rows, "r", mesh)
    high = float(np.nanmax(np.concatenate(list(r.values()), dtype=float), initial=0.01))
    return Picture(
        draw_views(mesh, r, _rois(rows, mesh), Scale(f"r, {method}", 0.0, high, SEQUENTIAL)),
        alt=f"Cortical maps of r of {method}: {VIEWS}; highest {high:.2f}.",
        caption=f"Pearson r of {method} at each vertex, {_summary(rows, mesh)}.",
    )


def _explained(rows: pd.DataFrame, method: str, mesh: Mesh) -> Picture:
    share = _spread(rows, "explained", mesh, "median")
    return Picture(
        draw_views(
            mesh, share, _rois(rows, mesh), Scale("share of the ceiling", 0.0, 1.0, SEQUENTIAL)
        ),
        alt=f"Cortical maps of the share of the explainable variance that {method} explains: "
        f"{VIEWS}; median {rows['explained'].median():.2f}.",
        caption=f"r² of {method} over the squared noise ceiling, with the sign of r, at each "
        f"vertex, {_summary(rows, mesh, 'median')} or no ceiling.",
    )


def _layers(rows: pd.DataFrame, method: str, mesh: Mesh) -> Picture:
    """Draw which layer the model of a vertex was scored at."""
    named = rows.drop_duplicates("depth").sort_values("depth")
    ranks = {depth: rank for rank, depth in enumerate(named["depth"])}
    depth = _spread(rows.assign(rank=rows["depth"].map(ranks)), "rank", mesh, "median")
    # Between two layers as often chosen, the shallower.
    steps = {side: np.floor(values) for side, values in depth.items()}
    most = rows["layer"].mode().iloc[0]
    return Picture(
        draw_views(
            mesh, steps, _rois(rows, mesh), stepped("layer", list(named["layer"]), SEQUENTIAL)
        ),
        alt=f"Cortical maps of the layer that {method} is scored at: {VIEWS}; most often {most}.",
        caption=f"Layer at which the model of each vertex predicts best, chosen per ROI, {method}, "
        f"{_summary(rows, mesh, 'median')}.",
    )


def _summary(rows: pd.DataFrame, mesh: Mesh, of_subjects: str = "mean") -> str:
    n = rows["subject"].nunique()
    return (
        f"protocol {rows['protocol'].iloc[0]}, {of_subjects} over "
        f"{'at most ' if n > 1 else ''}{count(n, 'subject')} at a vertex, on "
        f"{mesh.name}; grey: no score"
    )


def _reach(maps: Sequence[Array]) -> float:
    values = np.abs(np.concatenate(maps))
    return max(1e-3, float(np.nanquantile(values, 0.98)) if np.isfinite(values).any() else 0.0)


def _spread(
    rows: pd.DataFrame, value: str, mesh: Mesh, of_subjects: str = "mean"
) -> dict[str, Array]:
    """Average a value over subjects at each vertex, and spread it over both hemispheres."""
    spread = {}
    for hemisphere in ("lh", "rh"):
        grouped = rows[rows["hemisphere"] == hemisphere].groupby("fsaverage")[value]
        part = grouped.agg(of_subjects).dropna()
        places, values = part.index.to_numpy(dtype=float), part.to_numpy(dtype=float)
        spread[hemisphere] = mesh.fill(hemisphere, places, values)
    return spread


def _rois(rows: pd.DataFrame, mesh: Mesh) -> dict[str, Sequence[str]]:
    """Name the ROI of each vertex of the mesh: that of most subjects; empty without one."""
    found: dict[str, Sequence[str]] = {}
    for hemisphere in ("lh", "rh"):
        names = [""] * mesh.n_vertices(hemisphere)
        part = rows[(rows["hemisphere"] == hemisphere) & (rows["fsaverage"] < len(names))]
        most = part.groupby("fsaverage")["roi"].agg(lambda one: one.mode().iloc[0])
        for vertex, roi in zip(most.index.tolist(), most.tolist(), strict=True):
            names[vertex] = roi
        found[hemisphere] = names
    return found


def _notes(rows: pd.DataFrame, mesh: Mesh) -> tuple[str, ...]:
    places = rows[["hemisphere", "fsaverage"]].drop_duplicates()
    hidden = int((places["fsaverage"] >= mesh.n_vertices("lh")).sum())
    if not hidden:
        return ()
    return (
        f"{hidden:,} of {len(places):,} vertices are not on {mesh.name} and not drawn; "
        "to draw all: python -m orchestrator.report --out RUNS --mesh fsaverage",
    )
