"""What a search ends in: standings, the frozen file and its refusals, figures that aren't blank."""

import io
import json
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import pytest
from rich.console import Console

from orchestrator.cli.errors import InputError
from orchestrator.sweep.hyperparameters import (
    Found,
    read_hyperparameters,
    with_hyperparameters,
    write_hyperparameters,
)
from orchestrator.sweep.search.figures import FORMATS, draw_importance, draw_parallel, importance
from orchestrator.sweep.search.study import build_study
from orchestrator.sweep.search.summary import SHORT, best_table, freeze, standings, summarise_best
from tests.builders.small_searches import SEARCH, VALUES, one, rois, rounds
from trainables.spec import Contrastive, Pooled, Regression, Trial, Untuned
from trainables.spec.search import PARAMETERS

FOUND = Found(
    "hyperparameter_search",
    "optuna",
    0,
    ("nsd-subj01-lh-V1v",),
    2,
    (),
    0.1,
    "ab",
    "v1",
    "2026-01-01",
)


def test_standings_are_by_rank_share_and_count_how_trials_ended() -> None:
    known = {"a": VALUES, "b": VALUES | {"temperature": 0.5}}
    records = [one("a", "V1v", 2, 0.1), one("a", "EBA", 10, 0.2)]
    records += [one("b", "V1v", 10, 0.4), one("b", "EBA", 10, 0.3)]
    best, other = standings(known, records)
    assert (best.configuration, best.finished, best.stopped) == ("b", 2, 0)
    assert (other.configuration, other.finished, other.stopped) == ("a", 1, 1)
    assert best.top1 == pytest.approx(0.35)
    assert [row["configuration"] for row in summarise_best([best, other])] == ["b", "a"]


def test_of_equal_configurations_the_first_one_wins() -> None:
    known = {"b": VALUES, "a": VALUES}
    ranked = standings(known, [one("b", "V1v", 9, 0.1), one("a", "V1v", 9, 0.1)])
    assert [row.configuration for row in ranked] == ["b", "a"]


def test_what_was_frozen_is_read_back_and_never_overwritten(tmp_path) -> None:
    known = {"a": VALUES, "b": VALUES | {"temperature": 0.5}}
    ranked = standings(known, [one("a", "V1v", 9, 0.4), one("b", "V1v", 9, 0.1)])
    path = freeze(tmp_path, ranked, FOUND)
    assert dict(read_hyperparameters(path)) == VALUES
    written = path.read_bytes()
    freeze(tmp_path, ranked[::-1], FOUND)
    assert path.read_bytes() == written
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def damaged(change) -> str:
    content = {"schema_version": 1, "hyperparameters": dict(VALUES), "found": {}}
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", r"expected an object, found \[\]"),
        (damaged(lambda c: c.pop("found")), "found: missing"),
        (damaged(lambda c: c.update(more=1)), r"unknown keys \['more'\]"),
        (damaged(lambda c: c.update(schema_version=9)), "schema version 9"),
        (damaged(lambda c: c.update(hyperparameters=[])), "hyperparameters: expected an object"),
        (damaged(lambda c: c["hyperparameters"].update(tau=1)), r"unknown keys \['tau'"),
        (
            damaged(lambda c: c["hyperparameters"].pop("epochs")),
            r"hyperparameters\.epochs: missing",
        ),
        (damaged(lambda c: c["hyperparameters"].update(epochs=2.5)), "epochs: expected an integer"),
        (
            damaged(lambda c: c["hyperparameters"].update(epochs=True)),
            "epochs: expected an integer",
        ),
        (damaged(lambda c: c["hyperparameters"].update(temperature="0.3")), "expected a number"),
        (
            damaged(lambda c: c["hyperparameters"].update(temperature=-1)),
            "temperature: expected a value above",
        ),
        (damaged(lambda c: c["hyperparameters"].update(temperature=float("nan"))), "temperature"),
        (damaged(lambda c: c["hyperparameters"].update(learning_rate=float("inf"))), "finite"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line_with_its_name(tmp_path, text, message) -> None:
    path = tmp_path / "hyperparameters.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_hyperparameters(path)
    assert str(error.value).startswith(str(path))
    assert str(error.value).endswith("; give the hyperparameters.json of a finished search")
    assert "\n" not in str(error.value)


def test_an_absent_file_is_reported(tmp_path) -> None:
    with pytest.raises(InputError, match=r"absent\.json: No such file"):
        read_hyperparameters(tmp_path / "absent.json")


def test_values_replace_those_of_contrastive_trials_alone_and_ids_follow() -> None:
    roi, other = rois()[0], rois()[5]
    alike = (roi, replace(roi, subject="subj02"))
    kept = [
        Trial(Untuned(), (roi,)),
        Trial(Regression(), (roi,)),
        Trial(Pooled(), alike),
    ]
    finetuned = [Trial(Contrastive(validation=0.2), (one_roi,)) for one_roi in (roi, other)]
    changed = with_hyperparameters([*kept, *finetuned], VALUES)
    assert changed[:3] == kept
    assert [t.objective for t in changed[3:]] == [Contrastive(**VALUES, validation=0.2)] * 2
    assert not {t.id for t in changed[3:]} & {t.id for t in finetuned}


def test_trials_that_become_one_are_one_and_a_space_without_contrastive_ones_is_refused() -> None:
    roi = rois()[0]
    several = [Trial(Contrastive(temperature=t), (roi,)) for t in (0.1, 0.2)]
    assert len(with_hyperparameters(several, VALUES)) == 1
    with pytest.raises(InputError, match="no contrastive trial"):
        with_hyperparameters([Trial(Untuned(), (roi,))], VALUES)


def is_drawn(path: Path) -> bool:
    """Return whether a PNG has marks on its background, or an SVG has paths."""
    if path.suffix == ".svg":
        return path.read_text().count("<path") > 10
    image = matplotlib.image.imread(path)[..., :3]
    assert min(image.shape[:2]) > 200
    return bool((image.reshape(-1, 3) < 0.9).any(axis=1).mean() > 0.002)


def test_figures_are_written_and_show_something(tmp_path) -> None:
    known, records = rounds()
    study = build_study(SEARCH, "optuna", 3, known, records)
    found = importance(study)
    assert set(found) == {name for name, _ in SEARCH.ranges.items()} - {"embedding_ratio"}
    assert max(found, key=found.get) == "temperature"  # the rounds' only truth
    ranked = standings(known, records)
    written = draw_importance(found, tmp_path / "importance")
    shares = [row.rank_share for row in ranked]
    written += draw_parallel([row.values for row in ranked], shares, tmp_path / "parallel")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{stem}.{kind}" for stem in ("importance", "parallel") for kind in FORMATS
    )
    assert all(map(is_drawn, written))


def test_too_few_configurations_have_no_importance() -> None:
    known, records = rounds()
    assert importance(build_study(SEARCH, "optuna", 0, {}, [])) == {}
    first = dict(list(known.items())[:1])
    assert importance(build_study(SEARCH, "optuna", 0, first, records[:1])) == {}


def test_writing_refuses_values_that_are_no_hyperparameters(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"unknown keys \['tau'\]"):
        write_hyperparameters(tmp_path / "file.json", VALUES | {"tau": 1}, FOUND)
    assert not list(tmp_path.iterdir())


def test_the_table_of_the_best_fits_a_terminal_of_80_columns() -> None:
    known, records = rounds()
    stream = io.StringIO()
    console = Console(file=stream, width=80, color_system=None)
    console.print(best_table(standings(known, records)))
    assert set(PARAMETERS) <= set(SHORT)
    assert "…" not in stream.getvalue()
    best = min(known.values(), key=lambda values: values["temperature"])
    [row] = [line for line in stream.getvalue().splitlines() if "0.958" in line]
    assert f"{best['temperature']:.3g}" in row
