"""What one trial does: read its images, fine-tune a backbone, encode, score."""

import logging

logging.getLogger(__name__).addHandler(logging.NullHandler())  # whoever wants the logs adds another
