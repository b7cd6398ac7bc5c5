"""Files and directories: written atomically, mirrored in S3, free of secrets."""
