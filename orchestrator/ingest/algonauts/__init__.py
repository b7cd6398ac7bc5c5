"""The layouts of the Algonauts 2023 packaging of NSD: their files, and checks before reading."""

__all__ = ["command", "files", "inspection"]
