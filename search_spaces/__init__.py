"""Which trials exist: one file per search space, each with a function ``trials(rois)``."""
