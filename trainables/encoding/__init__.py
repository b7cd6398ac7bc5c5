"""Encoding models: features, PCA, ridge regression, protocols and scores."""

__all__ = ["features", "protocols", "score_rois", "split_sizes"]
