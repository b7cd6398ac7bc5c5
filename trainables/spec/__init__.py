"""What a trial, an evaluation and a search are: frozen values named by their content."""

from trainables.spec.evaluation import (
    Evaluation,
    Work,
)
from trainables.spec.objectives import (
    LARGEST_ROI,
    MEAN,
    OBJECTIVES,
    Contrastive,
    Objective,
    Order,
    Pooled,
    Regression,
    Tuned,
    TunedOnCell,
    Untuned,
)
from trainables.spec.rois import Cell
from trainables.spec.search import (
    Choice,
    IntegerRange,
    LogUniform,
    Ranges,
    Search,
)
from trainables.spec.trial import (
    ALEXNET_LAYERS,
    FROM_FILE,
    FULL,
    PRECISIONS,
    PROTOCOLS,
    Encoding,
    Precision,
    Protocol,
    Trial,
    Trunk,
)
from trainables.spec.values import NAME_RULE, as_mapping, build_from, digest, is_name

__all__ = [
    "ALEXNET_LAYERS",
    "FROM_FILE",
    "FULL",
    "LARGEST_ROI",
    "MEAN",
    "NAME_RULE",
    "OBJECTIVES",
    "PRECISIONS",
    "PROTOCOLS",
    "Cell",
    "Choice",
    "Contrastive",
    "Encoding",
    "Evaluation",
    "IntegerRange",
    "LogUniform",
    "Objective",
    "Order",
    "Pooled",
    "Precision",
    "Protocol",
    "Ranges",
    "Regression",
    "Search",
    "Trial",
    "Trunk",
    "Tuned",
    "TunedOnCell",
    "Untuned",
    "Work",
    "as_mapping",
    "build_from",
    "digest",
    "is_name",
]
