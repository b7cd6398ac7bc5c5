"""The trials of `whole_hemisphere`, for the small backbone of simulated subjects.

python -m orchestrator.sweep whole_hemisphere_demo --data data --out runs \
    --weights weights.safetensors

One untuned trial per subject, which scores every ROI and the whole of each hemisphere: about 20
seconds per subject on two CPU cores. The data and the weights are those of `ingest simulate` and
`ingest algonauts` (docs/encoding-models.md, Submit to Algonauts). Expected: r of `all` is below
that of the early ROIs, and above 0.
"""

from collections.abc import Iterator, Sequence

from search_spaces.demo import BACKBONE, ENCODING
from trainables.spec import Roi, Trial, Untuned

WHOLE_HEMISPHERES = True


def trials(rois: Sequence[Roi]) -> Iterator[Trial]:
    """Yield the untuned trial of every ROI, which are merged into one per subject."""
    for roi in rois:
        yield Trial(Untuned(), (roi,), BACKBONE, ENCODING)
