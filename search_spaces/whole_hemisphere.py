"""The untuned backbone on every ROI and on both whole hemispheres, for models of every vertex.

python -m orchestrator.sweep whole_hemisphere --data DATA --out RUNS

One trial per subject, that of `paper`, which also scores the ROI `all` of each hemisphere: every
vertex, in or outside of the other ROIs. `submit` needs such models for the vertices that lie in no
other ROI. Where `paper` has run, only the untuned trials are scored again; `--dry-run` estimates
the cost on your data. Other spaces are given `all` by `--rois`, `paper --rois all` for example,
whose fine-tuned heads are then as wide as 0.8 times the vertices of a hemisphere. Expected: r of
`all` is far below that of its ROIs, since one layer is chosen for all vertices, many of which
respond to images little.
"""

from collections.abc import Iterator, Sequence

from search_spaces.paper import BACKBONE, ENCODING
from trainables.spec import Roi, Trial, Untuned

WHOLE_HEMISPHERES = True


def trials(rois: Sequence[Roi]) -> Iterator[Trial]:
    """Yield the untuned trial of every ROI, which are merged into one per subject."""
    for roi in rois:
        yield Trial(Untuned(), (roi,), BACKBONE, ENCODING)
