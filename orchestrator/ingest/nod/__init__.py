"""The layout of the Natural Object Dataset (OpenNeuro ds004496)."""
