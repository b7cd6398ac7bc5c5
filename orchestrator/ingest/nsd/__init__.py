"""Reader of the Natural Scenes Dataset as released: betas of every space, ROIs, ceilings."""

__all__ = ["families", "integer_betas", "ncsnr", "rois"]
