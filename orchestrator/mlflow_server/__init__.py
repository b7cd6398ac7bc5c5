"""MLflow as a lab runs it: a tracking server with passwords, on PostgreSQL, by one command."""
