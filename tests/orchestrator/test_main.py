"""The program cortex-sweep: its commands, its help, what it refuses, and what it imports."""

import importlib
import os
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from orchestrator.__main__ import COMMANDS, main
from orchestrator.cli.app import new_program
from orchestrator.evaluate.run import EvaluationSettings
from orchestrator.sweep.__main__ import app as sweep_app
from orchestrator.sweep.__main__ import main as sweep_main
from orchestrator.sweep.spaces import ACTIONS

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "ray", "mlflow", "pandas", "pyarrow"}
SUBCOMMANDS = {
    "ingest": ("algonauts", "nod", "task", "simulate"),
    "sweep": ("status", "retry", "cancel"),
    "evaluate": ("transfer", "nod", "pooled", "rois"),
    "submit": ("algonauts",),
}
PATHS = [
    *((name,) for name in COMMANDS),
    *((name, one) for name, ones in SUBCOMMANDS.items() for one in ones),
]

Capture = pytest.CaptureFixture[str]


def error_of(capsys: Capture, *arguments: str) -> str:
    """Run what must be refused; return its one line."""
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    [line] = shown.err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_command_has_a_help(path: tuple[str, ...], capsys: Capture) -> None:
    assert main([*path, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Usage: cortex-sweep {' '.join(path)}" in shown
    assert len(shown.splitlines()[2]) > 20  # what it does, below the usage


def test_the_help_of_the_program_describes_every_command(capsys: Capture) -> None:
    assert main(["--help"]) == 0
    lines = [line.strip("│ ").split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    described = {words[0]: words[1] for words in lines if len(words) == 2}
    assert [name for name in COMMANDS if len(described.get(name, "")) < 20] == []


def test_neither_help_nor_an_error_imports_what_is_slow() -> None:
    code = f"""
import sys
from orchestrator.__main__ import main
assert main(["--help"]) == 0
for path in {PATHS!r}:
    assert main([*path, "--help"]) == 0, path
    assert main([*path, "--no-such-option"]) == 2, path
    assert not {HEAVY!r} & set(sys.modules), (path, {HEAVY!r} & set(sys.modules))
from orchestrator.analyze import catalogue, run, settings
for name in ("torch", "ray", "mlflow"):  # only probes and the tracker need them
    assert name not in sys.modules, name
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("error: ") == len(PATHS) == 23


def test_help_takes_well_under_a_second_of_a_cpu() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "orchestrator", "sweep", "--help"]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


def test_a_module_and_the_program_are_one_command(capsys: Capture) -> None:
    assert main(["sweep", "--help"]) == 0
    shown = capsys.readouterr().out
    assert sweep_main(["--help"]) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["swep"], 'Unknown command "swep". Did you mean "sweep"?'),
        (["swep", "--help"], 'Did you mean "sweep"?'),
        (["evaluate", "transfr"], 'Did you mean "transfer"?'),
        (["ingest", "algonaut", "SRC"], 'Did you mean "algonauts"?'),
        (["sweep", "--stall-time", "3"], "--stall-time. Did you mean --stall-timeout?"),
        (["scores", "--protocl=paper"], "--protocl. Did you mean --protocol?"),
        (["report", "--mesh", "fsaverage7"], 'Did you mean "fsaverage'),
        (["sweep", "statsu"], "no search space 'statsu'; expected one of"),
        (["sweep", "statsu"], "did you mean 'status'?"),
        (["sweep", "statsu"], "or a command: status, retry, cancel; did you mean"),
        (["sweep", "papre"], "did you mean 'paper'?"),
        (["sweep", "Paper"], "did you mean 'paper'?"),
        (["sweep", "paper.py"], "paper.py: no such search space; give the path of a .py file; did"),
        (["sweep", "search_spaces/pooledd.py"], "did you mean 'pooled'?"),
        (["sweep", "Hyperparameter-Search"], "did you mean 'hyperparameter_search'?"),
        (["statsu"], "Did you mean 'sweep status'?"),
        (["retry", "--failed"], "Did you mean 'sweep retry'?"),
        (["algonauts", "SRC"], "Did you mean 'ingest algonauts'?"),
        (["transfer"], "Did you mean 'evaluate transfer'?"),
        (["sweep", "demo", "paper"], "unexpected argument 'paper'"),
        (["sweep", "status", "runs"], "unexpected argument 'runs'"),
        (["mlflow-server", "--port", "http"], '--port: unable to convert "http" into int'),
        (["sweep", "--out"], "parameter --out requires an argument"),
        (["ingest", "algonauts", "--out", "DATA"], "SOURCE"),
        ([], "cortex-sweep: expected a command: ingest, sweep, evaluate, scores, analyze"),
        (["ingest"], "cortex-sweep ingest: expected a command: algonauts, nsd, "),
    ],
)
def test_what_is_mistyped_is_refused_in_one_line(
    arguments: list[str], message: str, capsys: Capture
) -> None:
    assert message in error_of(capsys, *arguments)


def test_actions_are_the_commands_of_sweep() -> None:
    assert {name for name in sweep_app if not name.startswith("-")} == set(ACTIONS)


def test_the_last_of_a_repeated_option_counts(capsys: Capture) -> None:
    assert "'later'" in error_of(capsys, "sweep", "--cpus-per-trial", "2", "--cpus-per-trial=later")
    assert main(["report", "--out", "a", "--mesh", "fsaverage", "--out", "b"]) == 2
    assert "b holds no scores" in capsys.readouterr().err


def test_a_command_knows_how_to_be_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[EvaluationSettings] = []
    monkeypatch.setattr("orchestrator.evaluate.run.evaluate", lambda one, _: given.append(one))
    arguments = ["transfer", "--models", "a", "b", "--dry-run"]
    assert main(["evaluate", *arguments]) == 0
    [settings] = given
    assert settings.choice.names == ("a", "b")
    started = settings.run.started
    module = importlib.import_module(f"{started.module}.__main__")
    assert module.main(started.arguments, only=frozenset({"x"})) == 0
    assert given[1].run.started.arguments == tuple(arguments)
    assert given[1].run.started.only == {"x"}


def test_completion_is_installed_for_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["--install-completion", "--shell", "bash"]) == 0
    scripts = [path for path in tmp_path.rglob("cortex-sweep") if path.is_file()]
    assert len(scripts) == 1
    script = scripts[0].read_text()
    assert [word for word in ("algonauts", "--stall-timeout", "retry") if word not in script] == []
    subprocess.run(["bash", "-n", str(scripts[0])], check=True)


def test_the_console_script_is_declared() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert list(declared) == list(new_program().name)
    module, function = declared["cortex-sweep"].split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_the_process_ends_with_the_code_of_its_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "report", "--out", "nowhere"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: nowhere holds no scores")
    assert done.stderr.count("\n") == 1


def test_a_space_given_without_its_suffix_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("", encoding="utf-8")
    assert "did you mean 'mine.py'?" in error_of(capsys, "sweep", "mine")
