"""Files and directories: written atomically, mirrored in S3, free of secrets."""

__all__ = ["atomic", "redaction", "s3_mirror", "stored_directory"]
