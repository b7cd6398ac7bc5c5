"""Which trials exist: one file per search space, each with a function ``trials(rois)``."""

__all__ = [
    "controls",
    "controls_demo",
    "demo",
    "hyperparameter_search",
    "hyperparameter_search_demo",
    "hyperparameter_search_pooled",
    "hyperparameter_search_regression",
    "paper",
    "pooled",
    "pooled_interleaved",
]
