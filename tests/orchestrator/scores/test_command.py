"""The command that shows scores: what it prints, writes and refuses."""

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from rich.table import Table

from orchestrator.scores.__main__ import main
from orchestrator.scores.display.score_tables import closing_table
from tests.builders.small_scores import METHODS, roi, write, write_sweep
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Untuned

NO_DATA = DataDirectory(Path("absent"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    directory: Path = tmp_path_factory.mktemp("runs")
    write_sweep(directory)
    return directory


@pytest.fixture(autouse=True)
def _wide(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def lines_of(table: Table | None, width: int = 120) -> list[str]:
    assert table is not None
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(table)
    return stream.getvalue().splitlines()


def labels(text: str) -> list[str]:
    """Take what stands before the method or numbers, of a table's lines that begin with a name."""
    method = "(?:(?:untuned|regression|contrastive) +)?"
    found = re.findall(rf"^ (\S.*?) +{method}0\.", text, re.MULTILINE)
    return [str(label) for label in found]


def test_every_method_has_its_mean_by_group(runs, capsys) -> None:
    assert main(["--out", str(runs)]) == 0
    shown = capsys.readouterr().out
    assert labels(shown) == ["early", "higher", "all"]
    assert shown.count("contrastive") == 3
    assert "over the ROIs of a subject, then over subjects" in " ".join(shown.split())


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("roi", ["V1v", "hV4", "EBA", "all early", "all"]),
        ("subject", ["subj01", "subj02", "all"]),
        ("group", ["early", "higher", "all"]),
    ],
)
def test_rows_are_what_by_names(runs, capsys, by, expected) -> None:
    assert main(["--out", str(runs), "--by", by, "--compare", "contrastive", "untuned"]) == 0
    assert labels(capsys.readouterr().out) == expected


def test_rois_are_listed_whole_on_a_narrow_terminal(runs, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--out", str(runs), "--by", "subject-roi", "--compare"]) == 0
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_comparison_says_what_its_interval_covers(runs, capsys) -> None:
    assert main(["--out", str(runs), "--compare", "contrastive", "untuned"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "no interval: it needs the responses to the test images" in shown
    assert "no interval for 6 ROIs: " in shown
    assert "regression" not in shown


def test_compare_alone_sets_every_method_against_untuned(runs, capsys) -> None:
    assert main(["--out", str(runs), "--compare"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("each method against untuned")
    assert shown.count("regression") == 3


def test_layers_are_shown_by_method(runs, capsys) -> None:
    assert main(["--out", str(runs), "--by", "layer"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("classifier.5") == 3
    assert shown.count("6 of 6") == 3


@pytest.mark.parametrize(("protocol", "message"), [("paper", "optimistic"), ("released", "leaks")])
def test_an_optimistic_protocol_is_reported_under_its_table(
    tmp_path, capsys, protocol, message
) -> None:
    write(tmp_path, Untuned(), roi(), [0.5], (protocol,))
    assert main(["--out", str(tmp_path), "--protocol", protocol]) == 0
    assert message in capsys.readouterr().out


def test_vertices_left_out_of_a_comparison_are_reported(tmp_path, capsys) -> None:
    write(tmp_path, Untuned(), roi(), [0.1, np.nan, 0.3])
    write(tmp_path, Contrastive(), roi(), [0.2, 0.2, 0.2])
    write(tmp_path, Contrastive(), roi("EBA"), [0.2, 0.2])
    assert main(["--out", str(tmp_path), "--compare", "contrastive", "untuned"]) == 0
    assert "2 only contrastive scored, 1 without an r" in capsys.readouterr().out


def test_export_writes_the_filtered_rows_of_the_protocol(runs, tmp_path, capsys) -> None:
    path = tmp_path / "rows.csv"
    chosen = ["--subjects", "2", "--rois", "early", "--hemispheres", "lh"]
    assert main(["--out", str(runs), *chosen, "--export", str(path), "--rows", "vertices"]) == 0
    frame = pd.read_csv(path)
    assert len(frame) == 3 * 2 * 40
    assert set(frame["protocol"]) == {"nested"}
    assert "240 rows written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--protocol", "released"], "there are nested, paper"),
        (["--rois", "PPA"], "there are EBA, V1v, hV4"),
        (["--rois", "V9"], "unknown 'V9'"),
        (["--hemispheres", "rh"], "there are lh"),
        (["--subjects", "7"], "there are subj01, subj02"),
        (["--trial", "pooled"], "no such trial"),
        (["--compare", "pooled", "untuned"], "there are untuned, regression, contrastive"),
        (["--compare", "untuned"], "expected two methods"),
        (["--compare", "untuned", "untuned"], "two different ones"),
        (["--compare", "--by", "layer"], "omit --compare"),
        (["--export", "rows.json"], ".parquet or .csv"),
    ],
)
def test_what_cannot_be_answered_is_one_line_and_code_2(runs, capsys, asked, message) -> None:
    assert main(["--out", str(runs), *asked]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


@pytest.mark.parametrize("there", [True, False])
def test_no_scores_is_code_2(tmp_path, capsys, there) -> None:
    assert main(["--out", str(tmp_path if there else tmp_path / "absent")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}")


def test_untuned_alone_cannot_be_compared(tmp_path, capsys) -> None:
    write(tmp_path, Untuned(), roi(), [0.1])
    assert main(["--out", str(tmp_path), "--compare"]) == 2
    assert "untuned only" in capsys.readouterr().err


def test_a_damaged_file_is_named(tmp_path, capsys) -> None:
    path = RunDirectory(tmp_path).score_file(write(tmp_path, Untuned(), roi(), [0.1]).id, roi().id)
    path.write_bytes(b"PAR1")
    assert main(["--out", str(tmp_path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_the_demonstration_is_shown_where_there_is_nothing_else(
    tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "demo" / "runs", Untuned(), roi(), [0.25])
    assert main([]) == 0
    assert "0.250" in capsys.readouterr().out
    write(tmp_path / "runs", Untuned(), roi(), [0.75])
    assert main([]) == 0
    assert "0.750" in capsys.readouterr().out


def test_the_closing_table_compares_this_sweeps_finetuned_methods_with_untuned(tmp_path) -> None:
    trials = [
        write(tmp_path, objective, roi(roi_name), [r, r + 0.1])
        for roi_name in ("V1v", "hV4", "EBA")
        for objective, r in zip(METHODS, (0.1, 0.2, 0.3), strict=True)
    ]
    write(tmp_path, Contrastive(), roi("PPA"), [0.9])
    write(tmp_path, Untuned(), roi("PPA"), [0.1])
    shown = "\n".join(
        lines_of(closing_table(RunDirectory(tmp_path), NO_DATA, [t.id for t in trials], "roi"), 80)
    )
    assert labels(shown) == ["V1v", "hV4", "EBA", "all early", "all"]
    assert len(re.findall(r"\+0\.200 +– ", shown)) == 5
    assert "no interval: it needs the responses" in " ".join(shown.split())
    assert "PPA" not in shown


def test_the_closing_table_is_by_group_unless_asked(runs) -> None:
    ids = [path.name for path in (runs / "scores").iterdir()]
    shown = "\n".join(lines_of(closing_table(RunDirectory(runs), NO_DATA, ids)))
    assert labels(shown) == ["early", "higher", "all"]


def test_there_is_no_closing_table_without_pairs(tmp_path) -> None:
    assert closing_table(RunDirectory(tmp_path), NO_DATA, ["untuned-nsd-subj01-00000000"]) is None
    trials = [
        write(tmp_path, Untuned(), roi(), [0.1]),
        write(tmp_path, Contrastive(), roi(), [0.1], ("paper",)),
    ]
    assert closing_table(RunDirectory(tmp_path), NO_DATA, [trial.id for trial in trials]) is None
