"""Panels of saliency: images with the maps of several backbones, and mean maps."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from orchestrator.report.sections.plots import roi_rank
from orchestrator.report.style import SEQUENTIAL, STYLE, WIDTH, as_svg
from orchestrator.scores.rows import method_order
from trainables.spec.labels import method_of

Array = np.ndarray[Any, np.dtype[np.float64]]

SIDE: Final = 96
"""Pixels of a map that is upsampled without its image."""
PANEL: Final = 1.1
"""Inches of a panel."""
WITHIN_SCALE: Final = 0.95
"""Share of the values of examples that the scale of colours holds: a map may have a single peak."""
OPACITY: Final = 0.6
"""Of a map over its image."""
UNIT: Final = "Grad-CAM (1: evenly spread)"
UNIT_IN_WORDS: Final = "Colour: Grad-CAM divided by its mean over the map, so that 1 is even."
LONGEST: Final = 16
"""Most characters of a class' name below a panel."""
ENDINGS: Final = {"image": "", "mirrored": "_mirrored"}
"""Of the fields of an example, by the side of the figure."""


@dataclass(frozen=True)
class Shown:
    """A backbone whose maps are drawn."""

    title: str
    subject: str | None
    method: str
    examples: Sequence[Mapping[str, Any]]

    @property
    def name(self) -> str:
        """Its title, with its subject and method if it is fine-tuned."""
        return f"{self.title} of {self.subject} ({self.method})" if self.subject else self.title


def as_map(nested: Any) -> Array:
    """Convert a map from nested lists to (h, w)."""
    return np.array([list(line) for line in nested], dtype=np.float64)


def choose_backbones(rows: pd.DataFrame) -> list[Shown]:
    """Choose an lh, an rh and the untuned backbone: those that there are; the untuned one is last.

    Of contrastive ones if there are any, the first ROI and subject in the tables' order that both
    hemispheres have, or else that one has.
    """
    finetuned = rows.dropna(subset=["hemisphere"])
    labels = method_order(finetuned["method"])
    labels.sort(key=lambda label: method_of(label) != "contrastive")
    shown = []
    if labels:
        own = finetuned[finetuned["method"] == labels[0]]
        sides: dict[tuple[str, str], set[str]] = {}
        for one in zip(own["roi"], own["subject"], own["hemisphere"], strict=True):
            sides.setdefault((str(one[0]), str(one[1])), set()).add(str(one[2]))
        roi, subject = min(sides, key=lambda one: (-len(sides[one]), roi_rank(one[0]), one[1]))
        of_roi = own[(own["roi"] == roi) & (own["subject"] == subject)]
        for hemisphere, part in of_roi.groupby("hemisphere"):
            title = f"{hemisphere} {roi}"
            shown.append(
                Shown(title, subject, labels[0], part.sort_values("backbone")["examples"].iloc[0])
            )
    untuned = rows[rows["hemisphere"].isna()]
    return [
        *shown,
        *(Shown("untuned", None, "untuned", one) for one in untuned["examples"].iloc[:1]),
    ]


def draw_examples(shown: Sequence[Shown]) -> str:
    """Draw a row per image: it and the backbones' maps, its mirror image and the maps of that.

    Returns the SVG. The images are those of the last backbone.
    """
    n_images, n_columns = len(shown[-1].examples), 1 + len(shown)
    every = [
        relative(as_map(one[f"map{ending}"])).ravel()
        for backbone in shown
        for one in backbone.examples
        for ending in ENDINGS.values()
    ]
    largest = max(1.0, float(np.quantile(np.concatenate(every), WITHIN_SCALE)))
    colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, largest), SEQUENTIAL)
    with mpl.rc_context(STYLE):
        size = (PANEL * n_columns * len(ENDINGS) + 0.3, (PANEL + 0.35) * n_images + 1.0)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(n_images, n_columns * len(ENDINGS), squeeze=False)
        for number, row in enumerate(panels):
            for place, side in enumerate(ENDINGS):
                part = row[place * n_columns : (place + 1) * n_columns]
                _draw_side(part, shown, number, side, colours)
        titles = (title for side in ENDINGS for title in (side, *(one.title for one in shown)))
        for axes, title in zip(panels[0], titles, strict=True):
            axes.set_title(title, fontsize=8)
        figure.colorbar(
            colours,
            ax=panels.ravel().tolist(),
            label=UNIT,
            location="bottom",
            extend="max",
            shrink=0.4,
            aspect=30,
        )
        return as_svg(figure)


def _draw_side(
    panels: Sequence[Axes],
    shown: Sequence[Shown],
    number: int,
    side: str,
    colours: mpl.cm.ScalarMappable,
) -> None:
    """Draw an image, or its mirror image, and the backbones' maps of it."""
    ending = ENDINGS[side]
    picture = decode(shown[-1].examples[number]["image"])
    if picture is not None and ending:
        picture = picture[:, ::-1]
    for axes in panels:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    blank = np.ones((SIDE, SIDE, 3))
    panels[0].imshow(blank if picture is None else picture, interpolation="none")
    name = shorten(shown[-1].examples[number]["class_name"])
    panels[0].set_xlabel(name if picture is not None else f"{name}\n(not kept)", fontsize=7)
    for axes, backbone in zip(panels[1:], shown, strict=True):
        example = backbone.examples[number]
        values = upsample(relative(as_map(example[f"map{ending}"])), picture)
        axes.imshow(blend(colours.to_rgba(values)[..., :3], picture), interpolation="none")
        axes.set_xlabel(_probability(example, ending), fontsize=7)


def _probability(example: Mapping[str, Any], ending: str) -> str:
    text = f"p = {example[f'probability{ending}']:.2f}"
    predicted = example[f"predicted{ending}"]
    return text if predicted == example["class_name"] else f"{text}\n→ {shorten(predicted)}"


def shorten(name: str) -> str:
    """Cut a long name of a class."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def decode(png: bytes | None) -> Array | None:
    """Decode an image to (h, w, 3), 0 to 1."""
    if png is None:
        return None
    pixels: Array = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.float64)
    return pixels / 255


def relative(values: Array) -> Array:
    """Divide a map by its mean; a map without mass stays 0."""
    mean = values.mean()
    return values / mean if mean > 0 else values


def upsample(values: Array, picture: Array | None = None) -> Array:
    """Upsample a map (h, w) smoothly to a picture's size; no value becomes negative."""
    height, width = (SIDE, SIDE) if picture is None else picture.shape[:2]
    small = Image.fromarray(values.astype(np.float32))
    large = small.resize((width, height), Image.Resampling.BICUBIC)
    found: Array = np.clip(np.asarray(large, dtype=np.float64), 0.0, None)
    return found


def blend(colours: Array, picture: Array | None) -> Array:
    """Lay colours (h, w, 3) over a picture in grey."""
    if picture is None:
        return colours
    grey = picture.mean(axis=2, keepdims=True)
    blended: Array = OPACITY * colours + (1 - OPACITY) * grey
    return blended


def draw_mean_maps(parts: Mapping[str, Array]) -> str:
    """Draw maps (h, w) by their titles on one scale; return the SVG."""
    scaled = {title: relative(values) for title, values in parts.items()}
    largest = max(float(values.max()) for values in scaled.values())
    colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, max(largest, 1.0)), SEQUENTIAL)
    lines = -(-len(parts) // 3)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.6 * lines), layout="constrained")
        panels = figure.subplots(lines, min(3, len(parts)), squeeze=False).ravel()
        for axes in panels:
            axes.set_axis_off()
        for axes, (title, values) in zip(panels, scaled.items(), strict=False):
            axes.imshow(colours.to_rgba(upsample(values))[..., :3], interpolation="none")
            axes.set_title(title, loc="left")
        figure.colorbar(colours, ax=list(panels), label=UNIT, shrink=0.9)
        return as_svg(figure)
