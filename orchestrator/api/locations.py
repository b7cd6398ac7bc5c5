"""Where a caller's directories and files are."""

from os import PathLike

Location = str | PathLike[str]
"""A local path, or ``s3://BUCKET/PREFIX``."""
