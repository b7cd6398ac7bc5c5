"""The analyses, one per file: from a sweep's files to a table. No Ray, MLflow or plotting."""

__all__ = [
    "brain_fit",
    "classification",
    "controls",
    "improvement",
    "landscape",
    "layers",
    "mutual_information",
    "ood",
    "pooling",
    "rois",
    "saliency",
    "surface",
    "transfer",
    "variance",
]
