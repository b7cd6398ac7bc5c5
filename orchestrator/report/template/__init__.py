"""The report's page: template, style and script."""
