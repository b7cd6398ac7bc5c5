"""Every kind of probe, in the order in which a backbone is probed."""

from typing import Final

from trainables.probes.classification import CLASSIFICATION
from trainables.probes.mutual_information import INFORMATION
from trainables.probes.probe import Kind
from trainables.probes.saliency import SALIENCY
from trainables.probes.variance import VARIANCE

KINDS: Final[tuple[Kind, ...]] = (CLASSIFICATION, SALIENCY, INFORMATION, VARIANCE)
