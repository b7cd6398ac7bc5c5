"""The mlflow_server command: a tracking server with passwords, on PostgreSQL."""

__all__: list[str] = []
