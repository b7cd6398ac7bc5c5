"""Files that no record lists count in no table, and are named once in one line."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.questions import improvement, layers
from orchestrator.analyze.run import digest_sources
from orchestrator.execution.plan import make_plan
from orchestrator.report.page import write_report
from orchestrator.scores.__main__ import main
from orchestrator.scores.score_table import read_score_table
from tests.builders.planned_rois import COSTS
from tests.builders.small_scores import METHODS, roi, write
from trainables.data.data_directory import DataDirectory
from trainables.results.outcome import Outcome, read_outcomes
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_scores
from trainables.results.strangers import describe_strangers, find_strangers
from trainables.spec import Contrastive, Untuned
from trainables.storage.temporary_files import temporary_name

R = [0.1, 0.2, 0.3, 0.4]
COPY_NAMES = (
    "{} copy",
    "{} (1)",
    "Copy of {}",
    "{}.bak",
    "{}~",
    "{}.sync-conflict-20240131-101112-ABCDEFG",
    "{} (Anna's conflicted copy 2024-01-31)",
    "{}.old-0123abcd",
    "old-{}",
    "backup.{}",
)
JUNK = (
    ".DS_Store",
    "._{}",
    "Thumbs.db",
    "desktop.ini",
    ".snapshot",
    ".nfs000000000123",
    ".~lock.{}#",
    "@eaDir",
    ".ipynb_checkpoints",
    ".{}.Ab12Cd",
)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sweep with an outcome of each trial."""
    runs = tmp_path_factory.mktemp("clean") / "runs"
    for objective in METHODS:
        for name in ("V1v", "EBA"):
            r = [value + 0.01 * len(objective.method) for value in R]
            write(runs, objective, roi(name), r, ("nested", "paper"), started=100.0)
    return runs


def results(runs: Path) -> list[object]:
    """Compute everything that reads the files of a sweep."""
    directory = RunDirectory(runs)
    table = read_score_table(directory)
    inputs = Inputs(directory, DataDirectory(runs.parent / "data"))
    return [
        table.vertices.to_csv(),
        [rows.to_pylist() for rows in table.read(["r_by_layer", "alpha"])],
        table.at_layers().to_csv(),
        [read_scores(directory, one).to_pylist() for one in sorted(table.trials)],
        improvement.make(inputs).to_pylist(),
        layers.make(inputs).to_pylist(),
        digest_sources(improvement.ANALYSIS, inputs),
        list(read_outcomes(directory)),
    ]


def copied(source: Path, target: Path) -> None:
    if target.exists():
        return
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


def add_copy(runs: Path, pick: int, pattern: str) -> None:
    """Copy one file or directory of results beside itself."""
    sources = [*runs.glob("scores/*"), *runs.glob("scores/*/*"), *runs.glob("trials/*")]
    source = sorted(sources)[pick % len(sources)]
    ending = "" if source.is_dir() else source.suffix
    name = source.name.removesuffix(ending)
    copied(source, source.with_name(pattern.format(name) + ending))


def add_junk(runs: Path, pick: int, pattern: str) -> None:
    """Add a file of an operating system, with the content of a score file."""
    homes = sorted([runs / "scores", runs / "trials", *runs.glob("scores/*-????????")])
    source = sorted(runs.glob("scores/*/*.parquet"))[pick % 6]
    target = homes[pick % len(homes)] / pattern.format(source.name)
    copied(source, target)


@pytest.fixture(scope="module")
def expected(clean: Path) -> list[object]:
    return results(clean)


@settings(max_examples=3, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from((*COPY_NAMES, *JUNK))), min_size=5))
def test_strangers_change_no_result(
    clean: Path,
    expected: list[object],
    tmp_path_factory: pytest.TempPathFactory,
    added: list[tuple[int, str]],
) -> None:
    home = tmp_path_factory.mktemp("dirty")
    shutil.copytree(clean, home / "runs")
    for pick, pattern in added:
        (add_junk if pattern in JUNK else add_copy)(home / "runs", pick, pattern)
    assert results(home / "runs") == expected


@pytest.mark.parametrize("pattern", COPY_NAMES)
@pytest.mark.parametrize("kind", ["scores/*", "scores/*/*", "trials/*"])
def test_every_copy_is_named(clean: Path, tmp_path: Path, kind: str, pattern: str) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(clean, runs)
    source = sorted(runs.glob(kind))[0]
    ending = "" if source.is_dir() else source.suffix
    target = source.with_name(pattern.format(source.name.removesuffix(ending)) + ending)
    copied(source, target)
    found = find_strangers(RunDirectory(runs))
    assert [one for one in found if one == target or target in one.parents]
    assert set(found) <= {target, *target.rglob("*")}


def test_the_files_of_a_run_are_no_strangers(tmp_path: Path) -> None:
    runs = RunDirectory(tmp_path / "runs")
    name = "untuned-nsd-subj01-0123abcd"
    files = [
        runs.outcome_file(name),
        runs.log_file(name),
        runs.scores(name) / "nsd-subj01-lh-V1v.parquet",
        runs.probe_file("classification", name),
        runs.head_file("classification", name),
        runs.checkpoints(name).path / "epoch-0001.safetensors",
        runs.analysis_file("layers"),
        runs.missing_file("transfer"),
        runs.report,
        runs.command_file,
        runs.history_file,
        runs.lock_file(1),
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert list(runs.strangers()) == []


def test_files_that_are_being_written_are_no_strangers(clean: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(clean, runs)
    source = sorted(runs.glob("scores/*/*"))[0]
    copied(source, source.with_name(temporary_name(source.name)))
    assert find_strangers(RunDirectory(runs)) == []


def test_a_file_of_another_trial_at_a_trials_place_is_scored_again(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    untuned, finetuned = (write(tmp_path, one, roi(), R) for one in (Untuned(), Contrastive()))
    source, target = (directory.score_file(one.id, roi().id) for one in (untuned, finetuned))
    shutil.copy2(source, target)
    assert read_score_table(directory).present("method") == ["untuned"]
    for one in (untuned, finetuned):
        Outcome(one, "finished", "host", "cpu", 0.0, {}).write(directory)
    plan = make_plan([untuned, finetuned], directory, COSTS)
    assert [one.id for one in plan.waiting] == [finetuned.id]
    assert f"{target}: holds the scores of another trial or ROI" in plan.notes[0]


def test_strangers_are_counted_with_three_examples() -> None:
    assert describe_strangers([]) is None
    paths = [Path(f"runs/scores/{letter}") for letter in "edcba"]
    assert describe_strangers(paths) == (
        "left out: files and directories that no record lists: runs/scores/a, "
        "runs/scores/b, runs/scores/c and 2 more (5 in all)"
    )


def test_commands_name_a_copied_directory_once_and_leave_it_out(
    clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(clean, runs)
    commands = (["--by", "roi"], ["--compare", "contrastive", "untuned"], ["--by", "layer"])
    shown = {}
    for state in ("clean", "dirty"):
        for command in commands:
            assert main(["--out", str(runs), *command]) == 0
            shown[state, command[0], command[1]] = capsys.readouterr().out
        source = next(runs.glob("scores/contrastive-*"))
        copied(source, source.with_name("contrastive copy"))
    line = f"left out: files and directories that no record lists: {runs}/scores/contrastive copy\n"
    for command in commands:
        before, after = (shown[state, command[0], command[1]] for state in ("clean", "dirty"))
        assert after.replace(line, "") == before
        assert after.count("left out:") == 1


def test_the_report_of_a_sweep_with_copies_equals_the_one_without(
    clean: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(clean, runs)
    pages: list[str] = []
    for name in ("before", "after"):
        page = write_report(
            Inputs(RunDirectory(runs), DataDirectory(tmp_path / "data")), tmp_path / name
        )
        pages.append(page.read_text())
        for kind in ("scores", "trials"):
            source = sorted((runs / kind).iterdir())[0]
            copied(source, source.with_name(f"{source.stem} copy{source.suffix}"))
    assert pages[0] == pages[1]


def exported(runs: Path, path: Path) -> list[object]:
    assert main(["--out", str(runs), "--export", str(path), "--rows", "vertices"]) == 0
    return pq.read_table(path).to_pylist()


def test_an_export_holds_no_rows_of_copies(clean: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(clean, runs)
    before = exported(runs, tmp_path / "before.parquet")
    add_copy(runs, 3, "{} copy")
    assert exported(runs, tmp_path / "after.parquet") == before
    assert len(before) == 3 * 2 * 4
