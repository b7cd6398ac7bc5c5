"""Every kind of probe, in the order in which a trunk is looked into."""

from typing import Final

from trainables.probes.classification import CLASSIFICATION
from trainables.probes.probe import Kind

KINDS: Final[tuple[Kind, ...]] = (CLASSIFICATION,)
