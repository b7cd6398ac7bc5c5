"""A question a file: what a sweep left in, one table out. No Ray, no MLflow, no plotting."""
