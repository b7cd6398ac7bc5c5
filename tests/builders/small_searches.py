"""A small search, its values, ROIs to search on, and records of trials."""

from orchestrator.sweep.search.study import (
    Record,
    build_study,
    propose,
)
from trainables.spec import Roi
from trainables.spec.search import (
    Choice,
    IntegerRange,
    LogUniform,
    Ranges,
    Search,
)

RANGES = Ranges(
    temperature=LogUniform(0.1, 1.0),
    learning_rate=LogUniform(1e-5, 1e-3),
    epochs=IntegerRange(2, 8),
    batch_size=Choice((16, 64)),
    hidden_ratio=LogUniform(0.4, 1.6),
    embedding_ratio=Choice((0.2,)),
)
SEARCH = Search(
    RANGES,
    n_rois=4,
    min_vertices=20,
    n_configurations=12,
    per_round=4,
    grace_period=1,
    reduction_factor=2,
)
VALUES = {
    "temperature": 0.3,
    "learning_rate": 1e-4,
    "epochs": 4,
    "batch_size": 16,
    "hidden_ratio": 0.8,
    "embedding_ratio": 0.2,
}


def rois() -> list[Roi]:
    """Two subjects, both hemispheres, four ROIs of 19 to 22 vertices, and a large stream."""
    sizes = {"V1v": 19, "V2v": 20, "V3v": 21, "EBA": 22, "ventral": 500}
    return [
        Roi("nsd", subject, side, roi_name, n, "data")
        for subject in ("subj01", "subj02")
        for side in ("lh", "rh")
        for roi_name, n in sizes.items()
    ]


def one(configuration: str, roi: str, epochs: int, top1: float, of: int = 10) -> Record:
    return Record(configuration, roi, epochs, of, top1, epochs < of)


def rounds(searcher: str = "optuna", search: Search = SEARCH):
    """Play a search in which a lower temperature is always better."""
    known, records = {}, []
    for number in range(search.n_rounds):
        study = build_study(search, searcher, number, known, records)
        new = propose(study, search, search.per_round, known)
        known |= new
        for name, values in new.items():
            records += [one(name, "V1v", 10, 1 - values["temperature"])]
    return known, records
