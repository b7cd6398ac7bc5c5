"""Reader of MOSAIC: eight fMRI data sets in one preprocessing, an HDF5 file per subject."""

__all__ = [
    "areas",
    "choices",
    "command",
    "files",
    "grayordinates",
    "inspection",
    "names",
    "parcels",
    "run",
]
