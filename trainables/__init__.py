"""The steps of one trial: read images, fine-tune a backbone, encode, score."""

import logging

__all__ = [
    "compute",
    "data",
    "encoding",
    "exceptions",
    "models",
    "probes",
    "results",
    "spec",
    "storage",
    "training",
    "wording",
    "worker",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())  # whoever wants the logs adds another
