"""Atomic writes, directories mirrored in S3, and redaction of secrets."""

__all__ = [
    "atomic",
    "background",
    "disk_space",
    "local_files",
    "processes",
    "redaction",
    "s3_mirror",
    "s3_objects",
    "scratch_file",
    "stored_directory",
    "temporary_files",
    "tensor_files",
    "threads",
    "unchanged",
    "user_cache",
]
