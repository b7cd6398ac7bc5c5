"""Devices, numerical precision and linear algebra."""
