"""Every kind of probe, in the order in which a trunk is looked into."""

from typing import Final

from trainables.probes.classification import CLASSIFICATION
from trainables.probes.mutual_information import INFORMATION
from trainables.probes.probe import Kind
from trainables.probes.saliency import SALIENCE

KINDS: Final[tuple[Kind, ...]] = (CLASSIFICATION, SALIENCE, INFORMATION)
