"""The report's page: template, style and script."""

__all__: list[str] = []
