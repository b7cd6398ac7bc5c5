"""Reader of the Natural Scenes Dataset as released: betas of every space, ROIs, ceilings."""
