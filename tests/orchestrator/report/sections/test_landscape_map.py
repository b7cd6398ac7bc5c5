"""The map of the landscape: labels do not overlap; colour and shape are what the legend says."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from orchestrator.report.sections import landscape_map
from orchestrator.report.sections.labels import place_labels
from orchestrator.report.sections.landscape_map import MARKERS, draw_map


def boxes_of(axes, labels):
    """Return the extents of labels after a complete drawing, in pixels."""
    canvas = FigureCanvasAgg(axes.figure)
    canvas.draw()
    return [Text.get_window_extent(one, canvas.get_renderer()) for one in labels]


@pytest.mark.parametrize("spread", [0.0, 0.001, 0.3])
def test_labels_of_points_that_meet_do_not_overlap(spread: float) -> None:
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    cloud = np.random.default_rng(0).normal(0, 0.02, (30, 2))
    axes.plot([-1, 1, *cloud[:, 0]], [-1, 1, *cloud[:, 1]], ".")
    points = {"untuned": (0.0, 0.0), "oracle": (spread, 0.0), "chance": (0.0, spread)}
    labels = place_labels(axes, points, cloud)
    boxes = boxes_of(axes, labels)
    frame = axes.get_window_extent()
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    marks = axes.transData.transform([*points.values(), *cloud])
    for box in boxes:
        assert not np.all((marks > box.min) & (marks < box.max), axis=1).any()
        assert frame.contains(*box.min)
        assert frame.contains(*box.max)


def test_a_label_at_an_edge_stays_inside() -> None:
    axes = Figure(layout="constrained").subplots()
    axes.plot([0, 1], [0, 1])
    axes.margins(0)
    [box] = boxes_of(axes, place_labels(axes, {"oracle": (1.0, 1.0)}, np.empty((0, 2))))
    assert axes.get_window_extent().contains(*box.max)


def rows():
    methods = ["untuned", "contrastive", "contrastive", "regression", "oracle", "chance"]
    return pd.DataFrame(
        {
            "method": methods,
            "model_group": [None, "Early-L", "Face", "Early-L", None, None],
            "accuracy": [0.5, 0.45, 0.4, 0.3, 1.0, 0.1],
            "axis_1": [0.0, 0.1, 0.2, 0.3, -3.0, 4.0],
            "axis_2": [0.0, 0.2, 0.1, -0.1, 1.0, 2.0],
        }
    )


def test_colour_is_accuracy_and_shape_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(landscape_map, "as_svg", lambda figure: drawn.append(figure) or "")
    draw_map(rows(), ("axis 1 (real)", "axis 2 (imaginary)"))
    whole, alone, _ = drawn[0].axes
    points = [tuple(one.get_offsets()[0]) for one in alone.collections]
    assert len(points) == 4
    assert len(whole.collections) == 6
    viridis = landscape_map.mpl.colormaps["viridis"]
    for one in rows()[:4].itertuples():
        found = alone.collections[points.index((one.axis_1, one.axis_2))]
        expected = viridis((one.accuracy - 0.3) / 0.2)
        np.testing.assert_allclose(found.get_facecolor()[0], expected, atol=0.01)
    assert {text.get_text() for text in whole.texts} >= {"untuned", "oracle", "chance"}
    assert "oracle" not in {text.get_text() for text in alone.texts}
    legend = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert legend == ["Early-L", "Face", "edge: regression", "edge: contrastive"]
    assert len(set(MARKERS.values())) == len(MARKERS)
