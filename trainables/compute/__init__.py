"""Devices, numerical precision and linear algebra."""

__all__ = [
    "allocator",
    "centre_crop",
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
