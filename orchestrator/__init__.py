"""Run trials on one machine or a cluster, and analyse their scores.

Each command is a package: `__main__` reads its flags, `run` does its work.
"""

import logging

__all__ = [
    "analyze",
    "encoding_models",
    "evaluate",
    "export",
    "ingest",
    "mlflow_server",
    "predict",
    "report",
    "scores",
    "sweep",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())  # whoever wants the logs adds another
