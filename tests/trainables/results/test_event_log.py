"""A trial's log: written as things happen, and never a trial's undoing."""

import json
import os
from pathlib import Path

from trainables.results.epoch_report import EpochReport
from trainables.results.event_log import TrialLog
from trainables.results.run_directory import RunDirectory
from trainables.worker.progress import Logged, Silent


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_are_there_as_soon_as_things_happen(tmp_path: Path) -> None:
    log = TrialLog(RunDirectory(tmp_path).log_file("a-trial"))
    listener = Logged(Silent(), log)
    listener.stage("reading")
    assert [line["event"] for line in read(log.path)] == ["stage"]
    assert listener.epoch(EpochReport(1, 0.5, 2.0, 10.0, 0.25, 3.0))
    stage, epoch = read(log.path)
    assert stage["stage"] == "reading"
    assert (epoch["epoch"], epoch["loss"], epoch["retrieval_top1"]) == (1, 0.5, 0.25)
    assert {line["pid"] for line in (stage, epoch)} == {os.getpid()}


def test_a_second_try_goes_on_in_the_same_file(tmp_path: Path) -> None:
    for _ in range(2):
        TrialLog(RunDirectory(tmp_path).log_file("a-trial")).note("started")
    assert len(read(RunDirectory(tmp_path).log_file("a-trial"))) == 2


def test_a_disk_that_refuses_it_costs_only_the_line(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the directory should be")
    TrialLog(RunDirectory(tmp_path).log_file("a-trial")).note("started")
