"""Encoding models: features, PCA, ridge regression, protocols and scores."""

__all__ = [
    "bands",
    "features",
    "pca",
    "protocols",
    "readout",
    "refit",
    "repeated_passes",
    "score_rois",
    "split_sizes",
    "variance",
    "working_memory",
]
