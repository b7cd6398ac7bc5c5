"""Search spaces that loop, exit, print or change the program: bounded, and refused in one line."""

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
from torchvision.models import _api

from orchestrator.cli.errors import InputError
from orchestrator.cli.signals import stoppable
from orchestrator.sweep import confinement, rehearsal
from orchestrator.sweep.spaces import expand, load_search, load_space, space_notes
from tests.builders.planned_rois import rois
from trainables.models import backbones

TOP = "import os, sys, time, itertools\nfrom trainables.spec import *\n"
ONE = "Trial(Untuned(), rois[:1])"


@pytest.fixture(autouse=True)
def short_limits(monkeypatch) -> None:
    monkeypatch.setattr(confinement, "MAX_ITEMS", 200)
    monkeypatch.setattr(confinement, "CPU_SECONDS", 0.3)
    monkeypatch.setattr(confinement, "WALL_SECONDS", 0.6)
    monkeypatch.setattr(confinement, "AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(confinement, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr(rehearsal, "MAX_MEMORY", 1 << 26)


def written(directory: Path, text: str) -> str:
    path = directory / "space.py"
    path.write_text(TOP + text)
    return str(path)


def plan(path: str) -> None:
    """Read a space as the command does."""
    load_search(path)
    space = load_space(path)
    expand(space, rois(2), None)
    space_notes(space, rois(2))


def refusal(path: str) -> str:
    """Return the one line that a space is refused with, within a few seconds."""
    started = time.monotonic()
    with pytest.raises(InputError) as refused:
        plan(path)
    text = str(refused.value)
    assert "\n" not in text
    assert len(text) < 700
    assert time.monotonic() - started < 15
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)
    return text


TRIALS = "def trials(rois):\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"{TRIALS}    while True:\n        yield {ONE}\n",
            "yields more than 200 values (line 5); expected an end",
        ),
        (
            f"{TRIALS}    for i in itertools.count():\n"
            "        yield Trial(Contrastive(), rois[:1], seed=i)\n",
            "yields more than 200 values (line 5)",
        ),
        (f"{TRIALS}    return itertools.repeat({ONE})\n", "yields more than 200 values; expected"),
        (f"{TRIALS}    while True:\n        pass\n", "no end after 0."),
        (
            f"{TRIALS}    while True:\n        try:\n            time.sleep(9)\n"
            "        except Exception:\n            pass\n",
            "no end after 0.6 s (line ",
        ),
        (
            f"{TRIALS}    for _ in range(3):\n        try:\n            while True: pass\n"
            "        except:\n            pass\n    while True: pass\n",
            "no end after ",
        ),
        (f"{TRIALS}    return trials(rois)\n", "RecursionError: maximum recursion depth exceeded"),
        (f"{TRIALS}    yield {ONE}\n    sys.exit(0)\n", "SystemExit; a search space yields"),
        (f"{TRIALS}    raise SystemExit\n", "SystemExit; a search space yields trials, and never"),
        (f"{TRIALS}    yield {ONE}\n    os._exit(0)\n", "SystemExit; a search space yields"),
        (f"{TRIALS}    raise KeyboardInterrupt\n", "it raises KeyboardInterrupt; "),
        (f"{TRIALS}    raise GeneratorExit\n", "it raises GeneratorExit; "),
        ("sys.exit()\n", "could not be loaded: it raises SystemExit"),
        ("os._exit(0)\n", "could not be loaded: it raises SystemExit"),
        ("while True: pass\n", "could not be loaded: no end after "),
        ("raise MemoryError('no\\nroom')\n", "MemoryError: no room (line 3)"),
        ("raise ValueError('x' * 10**6)\n", "ValueError: xxx"),
        (
            "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd\n",
            "Odd: an error without a text (line 5)",
        ),
        ("def __getattr__(name): raise RuntimeError(name)\n", "needs a function trials(rois)"),
        ("trials = 3\n", "needs a function trials(rois)"),
        ("class trials:\n    def __init__(self, rois): pass\n", "trials(rois) returned <user_se"),
        (f"{TRIALS}    return 3\n", "trials(rois) returned 3; expected it to yield Trial values"),
        (f"{TRIALS}    return 'paper'\n", "trials(rois) returned 'paper'; expected it to yield"),
        (f"{TRIALS}    return {{1: {ONE}}}\n", "trials(rois) returned {1: Trial("),
        (f"{TRIALS}    yield Trial\n", "yielded <class 'trainables.spec.trial.Trial'>"),
        (f"{TRIALS}    yield None\n", "yielded None; expected Trial values"),
        (f"{TRIALS}    yield {ONE}.to_json()\n", "yielded '{"),
        (
            f"class Mine(Trial): pass\n{TRIALS}    yield Mine(Untuned(), rois[:1])\n",
            "yielded Mine(",
        ),
        (
            f"class Odd:\n    def __repr__(self): raise ValueError\n{TRIALS}    yield Odd()\n",
            "yielded a Odd; expected Trial values",
        ),
        (
            f"{TRIALS}    yield {ONE}\n{TRIALS}    yield {ONE}\n",
            "defines trials 2 times (lines 3, 5",
        ),
        (f"SEARCH = None\n{TRIALS}    yield {ONE}\n", "defines trials and SEARCH; expected one"),
        ("SEARCH = 3\n", "SEARCH is 3; expected a trainables.spec.Search"),
        (f"{TRIALS}    yield {ONE}\nx = '\0'\n", "could not be loaded: "),
        ("# coding: nonsense\n" + TRIALS, "could not be loaded: "),
        (f"#{'x' * 2**20}\n{TRIALS}    yield {ONE}\n", "expected at most 1,048,576 bytes"),
        (
            f"{TRIALS}    yield {ONE}\ndef notes(rois):\n    while True: yield 'n'\n",
            "notes(rois) of the search space yields more than 200 values",
        ),
        (
            f"{TRIALS}    yield {ONE}\ndef notes(rois): return 3\n",
            "notes(rois) of the search space",
        ),
        (f"{TRIALS}    yield {ONE}\ndef notes(rois): sys.exit()\n", "never exits (line 5)"),
        (
            "from torchvision.models._api import register_model\nimport torch\n@register_model()\n"
            f"def my_own_net(**_): return torch.nn.Flatten()\n{TRIALS}    yield {ONE}\n",
            "registers the backbone 'my_own_net', which workers do not know",
        ),
        (
            "from trainables.models import backbones\n"
            f"{TRIALS}    backbones.OWN_ARCHITECTURES['my_own_net'] = 3\n    yield {ONE}\n",
            "registers the backbone 'my_own_net', which workers do not know",
        ),
    ],
)
def test_a_space_that_is_no_list_of_trials_is_refused_in_one_line(
    tmp_path, monkeypatch, text, message
) -> None:
    monkeypatch.setattr(_api, "BUILTIN_MODELS", dict(_api.BUILTIN_MODELS))
    monkeypatch.setattr(backbones, "OWN_ARCHITECTURES", dict(backbones.OWN_ARCHITECTURES))
    path = written(tmp_path, text)
    shown = refusal(path)
    assert message in shown
    assert shown.startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        (
            f"{TRIALS}    yield {ONE}\n    sum(itertools.count())\n",
            r"space failed: no end after 0.\d s( of CPU time)? \(line 5\)",
        ),
        (
            "sum(itertools.count())\n",
            r"could not be loaded: no end after (0.9|1.8) s( of CPU time)? \(line 3\)",
        ),
        (
            f"import ctypes\n{TRIALS}    ctypes.PyDLL(None).sleep(9)\n    yield {ONE}\n",
            r"space failed: no end after 0.6 s \(line 5\)",
        ),
        (f"{TRIALS}    return list(itertools.repeat(0))\n", r"failed: MemoryError \(line 4\)"),
        (f"{TRIALS}    os.kill(os.getpid(), 9)\n", "failed: its process was ended by SIGKILL"),
        (
            f"import ctypes\n{TRIALS}    ctypes.string_at(0)\n",
            r"failed: its process was ended by SIGSEGV \(line 5\)",
        ),
    ],
)
def test_a_call_that_does_not_return_to_python_is_ended(tmp_path, text, pattern) -> None:
    path = written(tmp_path, text)
    assert re.fullmatch(f"{re.escape(path)}: .*{pattern}", refusal(path))


def test_a_space_that_prints_does_not_write_to_standard_output(tmp_path, capfd) -> None:
    text = f"print('loading')\n{TRIALS}    print('listing')\n    yield {ONE}\n"
    assert len(expand(load_space(written(tmp_path, text)), rois(1), None)) == 1
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err == "loading\nlisting\n"


def test_a_space_may_change_the_list_that_it_gets(tmp_path) -> None:
    given = rois(2)
    text = f"{TRIALS}    rois.reverse()\n    yield {ONE}\n    rois.clear()\n"
    (trial,) = expand(load_space(written(tmp_path, text)), given, None)
    assert trial.rois == (given[1],)
    assert given == rois(2)


def test_ctrl_c_stops_a_space_as_it_stops_the_program(tmp_path) -> None:
    text = f"import signal\n{TRIALS}    os.kill(os.getpid(), signal.SIGINT)\n    yield {ONE}\n"
    space = load_space(written(tmp_path, text))
    with stoppable(), pytest.raises(KeyboardInterrupt):
        expand(space, rois(1), None)


def test_what_confinement_changes_is_restored(tmp_path) -> None:
    before = (
        os._exit,
        sys.stdout,
        signal.getsignal(signal.SIGPROF),
        signal.getsignal(signal.SIGALRM),
    )
    refusal(written(tmp_path, "sys.exit()\n"))
    after = os._exit, sys.stdout, signal.getsignal(signal.SIGPROF), signal.getsignal(signal.SIGALRM)
    assert after == before
