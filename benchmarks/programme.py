"""The paper's programme in numbers: what is fine-tuned, and what is scored."""

from typing import Final

ROIS: Final = (*[600] * 30, *[1500] * 7, *[5741] * 2)
"""Vertices of a subject's ROIs: 39 of them, 40,000 in all, as NSD's subjects have."""
SUBJECTS: Final = 8
POOLED: Final = 43 * 2
"""Pooled models of eight subjects, each once by contrast and once by regression."""
VERTICES: Final = 39548
"""Of a subject: what an untuned backbone is scored on."""
