"""The Python interface: what the commands do, with data frames and figures as results.

Bad input raises ValueError, with the line that the command would print.
"""

from orchestrator.api.maps import plot_map, surface_image
from orchestrator.api.sweeps import sweep
from orchestrator.api.tables import compare, scores, vertex_scores
from orchestrator.api.volumes import volume_image

__all__ = [
    "compare",
    "plot_map",
    "scores",
    "surface_image",
    "sweep",
    "vertex_scores",
    "volume_image",
]
