"""MLflow runs that mirror the result files."""
