"""Where trials run, and what they mean together."""

import logging

logging.getLogger(__name__).addHandler(logging.NullHandler())  # whoever wants the logs adds another
