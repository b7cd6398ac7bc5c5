"""Devices, numerical precision and linear algebra."""

__all__ = [
    "device",
    "failures",
    "linear_algebra",
    "memory",
    "numerics",
    "precision",
    "seeding",
    "truncated_eigh",
    "warm_subspace",
]
