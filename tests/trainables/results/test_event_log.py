"""A trial's log: written as things happen, and never a trial's undoing."""

import json
import os
import socket
import time
from pathlib import Path

from trainables.results import event_log
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


def test_a_line_names_time_to_the_millisecond_host_process_and_event(tmp_path: Path) -> None:
    log = TrialLog(RunDirectory(tmp_path).log_file("a-trial"))
    before = time.time()
    log.note("given up", reason="no memory")
    [line] = read(log.path)
    assert list(line) == ["time", "host", "pid", "event", "reason"]
    assert before - 0.001 <= line["time"] <= time.time() + 0.001
    assert line["time"] == round(line["time"], 3)
    assert (line["host"], line["event"], line["reason"]) == (
        socket.gethostname(), "given up", "no memory",
    )  # fmt: skip


def test_every_event_but_an_epoch_uploads_the_log(monkeypatch, tmp_path: Path) -> None:
    uploaded = []
    monkeypatch.setattr(
        event_log, "append_line", lambda path, line, *, to_s3: uploaded.append(to_s3)
    )
    for event in ("started", "epoch", "stage", "finished"):
        TrialLog(tmp_path / "log").note(event)
    assert uploaded == [True, False, True, True]
