"""Specifications of trials, evaluations and searches: frozen values named by their content."""

from trainables.spec.backbone import FROM_FILE, Backbone
from trainables.spec.evaluation import (
    Evaluation,
    WorkItem,
)
from trainables.spec.fields import NAME_RULE, is_name
from trainables.spec.objectives import (
    LARGEST_ROI,
    LEARNED,
    MEAN,
    OBJECTIVES,
    Contrastive,
    Finetuned,
    FinetunedOnRoi,
    Objective,
    Order,
    Pooled,
    Regression,
    SelfSupervised,
    Untuned,
)
from trainables.spec.rois import Roi
from trainables.spec.search import (
    Choice,
    IntegerRange,
    LogUniform,
    Ranges,
    Search,
)
from trainables.spec.trial import (
    ALEXNET_LAYERS,
    CLEAN,
    CLEAN_SHARE,
    FULL,
    PRECISIONS,
    PROTOCOLS,
    Encoding,
    Precision,
    Protocol,
    Trial,
)
from trainables.spec.values import digest

__all__ = [
    "ALEXNET_LAYERS",
    "CLEAN",
    "CLEAN_SHARE",
    "FROM_FILE",
    "FULL",
    "LARGEST_ROI",
    "LEARNED",
    "MEAN",
    "NAME_RULE",
    "OBJECTIVES",
    "PRECISIONS",
    "PROTOCOLS",
    "Backbone",
    "Choice",
    "Contrastive",
    "Encoding",
    "Evaluation",
    "Finetuned",
    "FinetunedOnRoi",
    "IntegerRange",
    "LogUniform",
    "Objective",
    "Order",
    "Pooled",
    "Precision",
    "Protocol",
    "Ranges",
    "Regression",
    "Roi",
    "Search",
    "SelfSupervised",
    "Trial",
    "Untuned",
    "WorkItem",
    "digest",
    "is_name",
]
