"""Encoding models: features, PCA, ridge regression, protocols and scores."""
