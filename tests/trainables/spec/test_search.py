"""A search's id is of its content, and of nothing else."""

from dataclasses import replace

import pytest

from trainables.spec import Choice, IntegerRange, LogUniform, Ranges, Search

RANGES = Ranges(
    temperature=LogUniform(0.05, 1.0),
    learning_rate=LogUniform(1e-5, 1e-2),
    epochs=IntegerRange(2, 8),
    batch_size=Choice((16, 32)),
    hidden_ratio=Choice((0.5,)),
    embedding_ratio=LogUniform(1.0, 2.0),
)
SEARCH = Search(
    ranges=RANGES,
    n_rois=2,
    min_vertices=3,
    n_configurations=6,
    per_round=3,
    grace_period=1,
    reduction_factor=2,
)


def test_equal_searches_have_one_id_whatever_their_repr(monkeypatch) -> None:
    again = replace(SEARCH, ranges=replace(RANGES))
    monkeypatch.setattr(Search, "__repr__", lambda self: "a search")
    assert again.id == SEARCH.id


def test_a_known_search_has_its_golden_id_and_tunes_all() -> None:
    assert SEARCH.id == "4423d3e7"
    values = {"temperature": 0.1, "hidden_ratio": 0.5, "embedding_ratio": 1.0}
    values |= {"learning_rate": 1e-3, "epochs": 2, "batch_size": 16}
    assert SEARCH.objective(values).tune == "all"
    assert replace(SEARCH, tune="lora:8").objective(values).tune == "lora:8"


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"tune": "lora:8"},
        {"validation": 0.2},
        {"n_rois": 1},
        {"ranges": replace(RANGES, epochs=IntegerRange(2, 9))},
        {"ranges": replace(RANGES, embedding_ratio=IntegerRange(1, 2))},  # drawn otherwise
    ],
    ids=str,
)
def test_another_search_has_another_id(changes) -> None:
    assert replace(SEARCH, **changes).id != SEARCH.id
