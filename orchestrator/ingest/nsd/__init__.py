"""Reader of the Natural Scenes Dataset as released: betas of every space, ROIs, ceilings."""

__all__ = [
    "command",
    "design",
    "families",
    "files",
    "integer_betas",
    "ncsnr",
    "rois",
    "run",
    "settings",
]
