"""Atomic writes, directories mirrored in S3, and redaction of secrets."""

__all__ = ["atomic", "redaction", "s3_mirror", "stored_directory"]
