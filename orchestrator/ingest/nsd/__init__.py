"""Reader of the Natural Scenes Dataset as released: betas of every space, ROIs, ceilings."""

__all__ = [
    "ceilings",
    "command",
    "design",
    "families",
    "files",
    "inspection",
    "integer_betas",
    "ncsnr",
    "rois",
    "run",
    "settings",
    "spaces",
]
