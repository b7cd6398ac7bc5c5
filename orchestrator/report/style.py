"""How every figure looks: sizes, colours, and saving; without a display.

Colours are Okabe and Ito's (2008), which colour-blind readers can distinguish; maps are viridis,
and for differences RdBu around zero. Text stays text in an SVG.
"""

import io
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEFAULT_MESH: Final = "fsaverage5"
"""Of cortical maps."""
WIDTH: Final = 7.0
"""Inches: the text width of a page."""

METHOD_COLOURS: Final = {
    "untuned": "#666666",
    "regression": "#E69F00",
    "contrastive": "#0072B2",
    "pooled-avg": "#009E73",
    "pooled-const": "#CC79A7",
}
OTHER_COLOURS: Final = (
    *("#D55E00", "#56B4E9", "#8C6D00", "#5E3C99", "#A6761D", "#117733"),
    *("#882255", "#44AA99", "#332288", "#DDAA33", "#AA4499", "#88CCEE"),
)
SEQUENTIAL: Final = "viridis"
DIVERGING: Final = "RdBu_r"

STYLE: Final[dict[Any, Any]] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "cortex-sweep",
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
}


def method_colour(method: str, place: int = 0) -> str:
    """Return a method's colour; for unknown methods one by their position."""
    return METHOD_COLOURS.get(method, OTHER_COLOURS[place % len(OTHER_COLOURS)])


def as_svg(figure: "Figure") -> str:
    """Write a figure as an SVG element, the same text for the same figure."""
    import matplotlib as mpl

    stream = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]
