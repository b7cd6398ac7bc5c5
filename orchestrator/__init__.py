"""What runs trials, and what their scores mean together.

Each command is a package: `__main__` reads its flags, `run` does its work.
"""

import logging

__all__ = ["analyze", "evaluate", "ingest", "mlflow_server", "report", "scores", "sweep"]

logging.getLogger(__name__).addHandler(logging.NullHandler())  # whoever wants the logs adds another
