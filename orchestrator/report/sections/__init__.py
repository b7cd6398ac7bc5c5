"""A section of the report a file: an analysis' table in; its reading and its figures out."""
