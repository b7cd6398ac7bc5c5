"""The analyses, one per file: from a sweep's files to a table. No Ray, MLflow or plotting."""
