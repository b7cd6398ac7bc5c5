"""Settings as rows: every table and export shows each, and selections name them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from orchestrator.scores.__main__ import main
from orchestrator.scores.display.score_tables import closing_table
from orchestrator.scores.references import references
from orchestrator.scores.score_table import read_score_table
from tests.builders.small_scores import ENCODING, LAYERS, roi, write, write_of
from tests.orchestrator.scores.test_command import lines_of
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Encoding, Pooled, Regression, Trial, Untuned
from trainables.spec.setting import setting_of

ROIS = (roi(n=5), roi("EBA", n=5))
TEMPERATURES = (0.1, 0.3, 1.0)
GAIN = {0.1: 0.1, 0.3: 0.2, 1.0: -0.1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Untuned, regression, and three temperatures with two seeds each, 0.02 apart."""
    home: Path = tmp_path_factory.mktemp("runs")
    for where in ROIS:
        write(home, Untuned(), where, [0.4] * 5, ("nested", "paper"))
        write(home, Regression(), where, [0.45] * 5, ("nested", "paper"))
        for temperature in TEMPERATURES:
            for seed in (0, 1):
                r = np.full(5, 0.4 + GAIN[temperature] + 0.01 - 0.02 * seed)
                write(home, Contrastive(temperature=temperature), where, r, ("nested",), seed=seed)
    return home


@pytest.fixture(autouse=True)
def _wide(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")


def shown(capsys, runs: Path, *asked: str) -> str:
    assert main(["--out", str(runs), *asked]) == 0
    return str(capsys.readouterr().out)


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip()]


def test_each_setting_is_a_row_with_its_value_in_a_column_and_its_seeds(runs, capsys) -> None:
    rows = cells(shown(capsys, runs, "--by", "group"))
    (heads,) = [row for row in rows if "τ" in row]
    assert heads[:3] == ["group", "method", "τ"]
    assert heads[-1] == "seeds"
    of_total = rows[next(k for k, row in enumerate(rows) if row[0] == "all") :][:5]
    assert [(row[0], row[1], row[-1]) for row in of_total[2:]] == [
        ("contrastive", "0.1", "2"),
        ("contrastive", "0.3", "2"),
        ("contrastive", "1", "2"),
    ]
    assert [row[2] for row in of_total[2:]] == ["0.500", "0.600", "0.300"]


def test_by_setting_has_one_row_per_setting_with_its_digits(runs, capsys) -> None:
    rows = cells(shown(capsys, runs, "--by", "setting"))
    found = {row[1]: row for row in rows if row[0] == "contrastive"}
    assert found["0.3"][2:11] == ["0.600", "±", "0.014"] * 3  # over two seeds, in each group
    digits = setting_of(Trial(Contrastive(temperature=0.3), (ROIS[0],), encoding=ENCODING)).digest
    assert found["0.3"][-1] == digits


def test_compare_sets_each_setting_against_untuned(runs, capsys) -> None:
    text = shown(capsys, runs, "--compare", "--by", "setting")
    assert text.startswith("each method against untuned")
    assert "τ: temperature" in text
    rows = {row[-7]: row for row in cells(text) if row[-8:-7] == ["contrastive"]}
    assert {name: row[-4] for name, row in rows.items()} == {
        "0.1": "+0.100", "0.3": "+0.200", "1": "-0.100",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sides", "difference"),
    [
        (("temperature=0.1", "temperature=1.0"), "+0.200"),
        (("contrastive,temperature=0.3", "regression"), "+0.150"),
        (("contrastive temperature=0.3", "contrastive temperature=0.1"), "+0.100"),
    ],
)
def test_two_settings_are_compared(runs, capsys, sides, difference) -> None:
    assert shown(capsys, runs, "--compare", *sides).count(f" {difference} ") >= 3


def test_the_closing_table_has_every_setting_and_drops_no_trial(runs) -> None:
    table = read_score_table(RunDirectory(runs))
    data = DataDirectory(runs / "data")
    lines = lines_of(closing_table(RunDirectory(runs), data, table.trials), 140)
    assert sum("contrastive" in line for line in lines) == 9
    assert "last started" not in " ".join(lines)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--where", "temprature=0.1"], "did you mean 'temperature'?"),
        (["--where", "temperature=0.2"], "no trial has it; there are 0.1, 0.3, 1"),
        (["--where", "temperature"], "expected name=value"),
        (["--compare", "contrastive", "regression"], "expected one setting, found 3: contrastive"),
        (["--compare", "temperature=0.1", "temperature=0.10"], "both sides are contrastive"),
        (["--compare", "temperature=0.1", "seed=1"], "--where seed=N"),
        (["--by", "setting", "--protocol", "nested,paper"], "without --compare, --by setting"),
    ],
)
def test_what_names_no_one_setting_is_one_line_and_code_2(runs, capsys, asked, message) -> None:
    assert main(["--out", str(runs), *asked]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_where_keeps_a_value_and_the_methods_that_have_none(runs, capsys) -> None:
    rows = cells(shown(capsys, runs, "--where", "temperature=0.1", "--where", "seed=1"))
    kept = {(row[-7], row[-6]) for row in rows if row[-7:-6] == ["contrastive"]}
    assert kept == {("contrastive", "0.1")}
    assert any("untuned" in row for row in rows)
    assert any("0.490" in row for row in rows)  # of seed 1 alone


@pytest.fixture(scope="module")
def pools(tmp_path_factory) -> Path:
    """Untuned on one ROI, and pools of two and of three subjects, better by 0.1 and by 0.3."""
    home: Path = tmp_path_factory.mktemp("pools")
    write(home, Untuned(), ROIS[0], [0.4] * 5)
    for subjects, gain in ((("subj01", "subj02"), 0.1), (("subj01", "subj02", "subj05"), 0.3)):
        rois = tuple(roi(subject=one, n=5) for one in subjects)
        write_of(home, Trial(Pooled(), rois, encoding=ENCODING), rois[0], [0.4 + gain] * 5)
    return home


@pytest.mark.parametrize(
    ("sides", "difference"),
    [
        (("subjects=1+2", "untuned"), "+0.100"),
        (("pooled-avg,subjects=subj05+subj01+subj02", "untuned"), "+0.300"),
        (("subjects=1+2+5", "subjects=1+2"), "+0.200"),
    ],
)
def test_a_side_names_the_subjects_of_a_pool(pools, capsys, sides, difference) -> None:
    assert difference in shown(capsys, pools, "--compare", *sides)


def test_a_pool_that_there_is_not_is_refused_with_those_there_are(pools, capsys) -> None:
    assert main(["--out", str(pools), "--compare", "subjects=1+5", "untuned"]) == 2
    error = capsys.readouterr().err
    assert "there are subj01+subj02, subj01+subj02+subj05" in error
    kept = shown(capsys, pools, "--where", "subjects=1+2")
    assert "0.500" in kept
    assert "0.700" not in kept


def test_exports_have_a_column_per_differing_value(runs, tmp_path, capsys) -> None:
    for rows, n in (("rois", 2 * 8), ("vertices", 2 * 8 * 5)):
        path = tmp_path / f"{rows}.csv"
        shown(capsys, runs, "--export", str(path), "--rows", rows)
        frame = pd.read_csv(path)
        assert len(frame) == n
        assert set(frame["method"]) == {"untuned", "regression", "contrastive"}
        tuned = frame[frame["method"] == "contrastive"]
        assert set(tuned["temperature"]) == set(TEMPERATURES)
        assert set(tuned["seed"]) == {0, 1}
        assert tuned["setting"].nunique() == 3
        assert frame.loc[frame["method"] != "contrastive", "temperature"].isna().all()


def test_each_setting_is_set_against_the_untuned_of_its_encoding(tmp_path) -> None:
    narrow = Encoding(layers=LAYERS, n_components=50)
    wide = Encoding(layers=LAYERS, n_components=99, protocols=("nested", "paper"))
    for encoding in (narrow, wide):
        write_of(tmp_path, Trial(Untuned(), ROIS[:1], encoding=encoding), ROIS[0], [0.1])
    tuned = Trial(Contrastive(), ROIS[:1], encoding=Encoding(layers=LAYERS, n_components=99))
    lonely = Trial(Regression(), ROIS[:1], encoding=Encoding(layers=LAYERS, n_components=7))
    for trial in (tuned, lonely):
        write_of(tmp_path, trial, ROIS[0], [0.2])
    table = read_score_table(RunDirectory(tmp_path))
    found = references(table)
    assert {key: [one.split()[-1] for one in each] for key, each in found.items()} == {
        "contrastive": ["n_components=99"],
        "regression": [],
    }
