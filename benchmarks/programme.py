"""Sizes of the paper's programme: what is fine-tuned, and what is scored."""

from typing import Final

ROIS: Final = (*[600] * 30, *[1500] * 7, *[5741] * 2)
"""Numbers of vertices of a subject's 39 ROIs, 40,000 in all, as in NSD."""
SUBJECTS: Final = 8
POOLED: Final = 43 * 2
"""Pooled models of eight subjects, half contrastive and half regression."""
VERTICES: Final = 39548
"""Vertices per subject that an untuned backbone is scored on."""
