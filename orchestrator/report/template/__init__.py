"""The report's page: template, style and script, kept beside the code as they are."""
