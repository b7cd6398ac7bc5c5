"""Which trials exist: one file a space, each with a function ``trials(rois)``."""
