"""A lab's own data, as a folder of tables, arrays and images: its files, checks and template."""

__all__ = ["assemblies", "command", "files", "inspection"]
