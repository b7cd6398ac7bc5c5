"""``scores --stats`` and two protocols: what is printed, exported and refused."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.small_shards import write_shards
from orchestrator.scores.__main__ import main
from tests.builders.small_predictions import write_predicted
from tests.builders.small_scores import roi, write, write_sweep
from trainables.spec import Contrastive, Regression, Untuned

STATS = ["--compare", "contrastive", "untuned", "--stats"]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    directory: Path = tmp_path_factory.mktemp("home")
    data, runs = directory / "data", directory / "runs"
    rois = write_shards(data, ("subj01", "subj02", "subj03"), n_images=160, image_size=8)
    for objective, noise in ((Untuned(), 2.0), (Regression(), 1.9), (Contrastive(), 0.5)):
        write_predicted(runs, data, objective, rois, noise)
    return directory


@pytest.fixture(autouse=True)
def _narrow(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def asked(home: Path, *arguments: str) -> list[str]:
    return ["--out", str(home / "runs"), *arguments]


def test_a_comparison_with_statistics_fits_100_columns_and_says_what_intervals_cover(
    home, capsys
) -> None:
    assert main(asked(home, *STATS, "--by", "roi")) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    assert "…" not in shown
    text = " ".join(shown.split())
    for part in (
        "Over test images: contrastive against untuned",
        "corrected (Benjamini-Hochberg) over all vertices of a subject",
        "Over subjects: contrastive against untuned",
        "bootstrap draws of the subjects",
        "Share of the explainable variance",
    ):
        assert part in text


def test_every_method_can_be_tested_against_untuned(home, capsys) -> None:
    assert main(asked(home, "--compare", "--stats")) == 0
    shown = capsys.readouterr().out
    assert shown.count("Over test images") == shown.count("Over subjects") == 2


def test_vertices_that_were_tested_are_exported(home, tmp_path, capsys) -> None:
    path = tmp_path / "differences.csv"
    assert main(asked(home, *STATS, "--export", str(path), "--rows", "differences")) == 0
    frame = pd.read_csv(path)
    assert len(frame) == 3 * 29
    assert ((frame["low"] <= frame["high"]) & (frame["p"] <= frame["q"])).all()
    assert set(frame["method_a"]) == {"contrastive"}


def test_without_predictions_or_ceilings_the_rest_is_shown_and_the_lack_reported(
    tmp_path, capsys
) -> None:
    write_sweep(tmp_path / "runs")
    assert main(asked(tmp_path, *STATS)) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Over test images:" not in text
    assert "6 ROIs not available" in text
    assert "noise ceiling: not available" in text
    assert "Over subjects" in text


def test_a_protocol_without_a_prediction_an_image_has_no_tests_over_images(
    tmp_path, capsys
) -> None:
    write_sweep(tmp_path / "runs")
    assert main(asked(tmp_path, *STATS, "--protocol", "paper")) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "over test images: not available, paper predicts no image just once" in text


def test_of_one_subject_tests_are_dashes(tmp_path, capsys) -> None:
    write(tmp_path / "runs", Untuned(), roi(), [0.1, 0.2])
    write(tmp_path / "runs", Contrastive(), roi(), [0.3, 0.2])
    assert main(asked(tmp_path, *STATS)) == 0
    (line,) = [
        line
        for line in capsys.readouterr().out.split("Over subjects")[1].splitlines()
        if line.startswith(" early")
    ]
    assert line.split() == ["early", "+0.100", "50.0%", "–", "1", *"––––"]


def test_an_roi_is_of_one_subject_so_no_test_over_subjects_is_shown(home, capsys) -> None:
    assert main(asked(home, *STATS, "--by", "subject-roi")) == 0
    shown = capsys.readouterr().out
    assert "Over subjects:" not in shown
    assert "over subjects: not available by subject-roi" in shown


def test_by_roi_and_hemisphere_the_hemispheres_are_contrasted(home, capsys) -> None:
    assert main(asked(home, *STATS, "--by", "roi-hemisphere")) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    assert "Hemispheres: contrastive against untuned" in shown
    over_subjects, rest = shown.split("Over subjects")[1].split("Hemispheres:")
    contrasts = rest.split("Share of")[0]
    assert "V1v lh" in over_subjects
    assert "V1v rh" in over_subjects
    lines = [one for one in contrasts.splitlines() if one.startswith(" V1v ")]
    assert len(lines) == 1
    assert "EBA" not in contrasts  # in rh only


def test_two_protocols_are_shown_side_by_side_with_their_gap(tmp_path, capsys) -> None:
    write_sweep(tmp_path / "runs")
    assert main(asked(tmp_path, "--protocol", "nested,paper")) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    text = " ".join(shown.split())
    assert "Protocols nested and paper" in text
    assert "The gap has three causes" in text
    assert "fits on only four fifths of the test images" in text
    assert "nested fits on images that a backbone was fine-tuned on" in text
    assert text.count("+0.000") == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stats"], "give --compare A B"),
        (["--rows", "differences", "--export", "x.csv"], "needs --compare, --stats"),
        (["--compare", "--stats", "--rows", "differences"], "needs --compare, --stats"),
        (["--protocol", "nested,paper", "--compare"], "without --compare"),
        (
            ["--protocol", "nested,paper", "--by", "layer"],
            "without --compare, --by setting, layer or model",
        ),
        (["--protocol", "nested,nested"], "two different ones"),
        (["--protocol", "nested,paper,released"], "expected one, or two"),
        (["--protocol", "nested,released"], "--protocol released: no scores"),
    ],
)
def test_what_cannot_be_asked_is_one_line_and_code_2(tmp_path, capsys, arguments, message) -> None:
    write(tmp_path / "runs", Untuned(), roi(), [0.1], ("nested", "paper"))
    assert main(asked(tmp_path, *arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


def test_differences_that_could_not_be_tested_are_refused(tmp_path, capsys) -> None:
    write_sweep(tmp_path / "runs")
    path = tmp_path / "x.csv"
    assert main(asked(tmp_path, *STATS, "--export", str(path), "--rows", "differences")) == 2
    assert "no vertex could be tested" in capsys.readouterr().err
    assert not path.exists()
