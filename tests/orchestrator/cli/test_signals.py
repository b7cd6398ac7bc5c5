"""Signals stop a command as Ctrl-C does, and a second one ends it at once."""

import inspect
import os
import signal
import sys
import threading
import time
from importlib import import_module

import pytest

from orchestrator.__main__ import COMMANDS
from orchestrator.__main__ import main as program_main
from orchestrator.cli import app, signals
from orchestrator.cli.process import run


def raise_in_body(signum: signal.Signals, released: list[str]) -> None:
    try:
        os.kill(os.getpid(), signum)
        time.sleep(5)
    finally:
        released.append("the run lock")


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_each_signal_stops_in_order_with_one_line_and_its_code(capsys, name, code) -> None:
    signum, released = signal.Signals[name], list[str]()
    before = signal.getsignal(signum)
    try:
        if before is signal.SIG_IGN:  # as under nohup
            signal.signal(signum, signal.SIG_DFL)
        assert run(lambda: raise_in_body(signum, released)) == code
    finally:
        signal.signal(signum, before)
    assert released == ["the run lock"]
    assert capsys.readouterr().err == f"interrupted by {name}\n"


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("is_module", [True, False], ids=["module", "program"])
def test_every_command_stops_on_sigterm_with_code_143(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, is_module: bool
) -> None:
    released: list[str] = []
    nothing = inspect.signature(lambda: None).bind()
    asked = (lambda: raise_in_body(signal.SIGTERM, released), nothing, ())
    monkeypatch.setattr(app, "_parse", lambda program, arguments: asked)
    module = import_module(f"orchestrator.{name.replace('-', '_')}.__main__")
    assert (module.main([]) if is_module else program_main([name])) == 143
    assert released == ["the run lock"]
    assert capsys.readouterr().err == "interrupted by SIGTERM\n"


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup, or disown
    try:
        assert run(lambda: os.kill(os.getpid(), signal.SIGHUP)) == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_restored() -> None:
    before = [signal.getsignal(one) for one in signals.STOPPING]
    assert run(lambda: None) == 0
    assert [signal.getsignal(one) for one in signals.STOPPING] == before


def test_only_a_later_signal_ends_at_once(monkeypatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(signals.os, "_exit", ended.append)
    clock = iter([100.0, 100.0 + signals.SAME_SECONDS / 2, 100.0 + 2 * signals.SAME_SECONDS])
    monkeypatch.setattr(signals.time, "monotonic", lambda: next(clock))
    with signals.stoppable():
        with pytest.raises(KeyboardInterrupt):
            signals._on_signal(signal.SIGTERM, None)
        signals._on_signal(signal.SIGTERM, None)  # `timeout` sends its signal twice
        assert ended == []
        signals._on_signal(signal.SIGTERM, None)
        assert ended == [143]


def test_a_process_that_is_stopping_is_not_interrupted_again(monkeypatch, capfd) -> None:
    sent: list[int] = []
    monkeypatch.setattr(signals.os, "kill", lambda pid, signum: sent.append(signum))
    with signals.stoppable():
        signals.interrupt("asked to")
        assert sent == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            signals._on_signal(signal.SIGINT, None)
        signals.interrupt("asked to again")  # as by `sweep cancel` during the clean-up
    assert sent == [signal.SIGINT]
    assert capfd.readouterr().err == "stopping: asked to\nstopping: asked to again\n"


def test_a_command_in_the_background_is_not_interrupted_again_either(monkeypatch) -> None:
    sent: list[int] = []
    earlier = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a script's & makes it
    try:
        with signals.stoppable(), signals.interruptible():
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
            monkeypatch.setattr(signals.os, "kill", lambda pid, signum: sent.append(signum))
            signals.interrupt("asked to again")
    finally:
        signal.signal(signal.SIGINT, earlier)
    assert sent == []


def test_the_traceback_of_a_bug_hides_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PGPASSWORD", "c0rrect-h0rse")
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)  # to be restored
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    assert run(lambda: None) == 0
    try:
        _fail()
    except RuntimeError as error:
        sys.excepthook(RuntimeError, error, error.__traceback__)
    thread = threading.Thread(target=_fail)
    thread.start()
    thread.join()
    shown = capsys.readouterr().err
    assert shown.count("RuntimeError: connected with ***") == 2
    assert shown.count("Traceback") == 2
    assert "c0rrect" not in shown


def _fail() -> None:
    raise RuntimeError("connected with " + os.environ["PGPASSWORD"])
