"""The environment of processes: set at their start, and by no library function."""

import ast
import os
import urllib.request
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.cli import environment
from orchestrator.cli.environment import DRIVER, complete_environment, set_environment

ROOT = Path(__file__).parents[3]
ALLOWED = {
    "orchestrator/cli/environment.py": {"environ"},
    "orchestrator/sweep/__main__.py": {"chdir"},  # retry: the process becomes the recorded command
}
WRITES = {"setdefault", "update", "pop", "clear", "putenv", "unsetenv"}


def process_state_written_by(tree: ast.Module) -> set[str]:
    """Name what a module writes of its process: its environment, or its directory."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in WRITES and "environ" in ast.unparse(node.func):
                found.add("environ")
            if node.func.attr in {"chdir", "fchdir"}:
                found.add("chdir")
        targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else []
        if any("os.environ" in ast.unparse(target) for target in targets):
            found.add("environ")
    return found


def test_library_functions_leave_the_process_s_environment_and_directory_alone() -> None:
    files = [path for top in ("trainables", "orchestrator") for path in (ROOT / top).rglob("*.py")]
    assert len(files) > 150
    found = {
        str(path.relative_to(ROOT)): written
        for path in files
        if (written := process_state_written_by(ast.parse(path.read_text())))
    }
    assert found == ALLOWED


def test_what_the_user_has_set_stays(monkeypatch) -> None:
    monkeypatch.setenv("SWEEP_TEST_SET", "mine")
    monkeypatch.delenv("SWEEP_TEST_UNSET", raising=False)
    set_environment({"SWEEP_TEST_SET": "ours"}, {"SWEEP_TEST_UNSET": "ours"})
    assert os.environ["SWEEP_TEST_SET"] == "mine"
    assert os.environ.pop("SWEEP_TEST_UNSET") == "ours"


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """An environment with a home and a name, without what else is completed."""
    for name in (*environment.PROXY_EXCEPTIONS, "COLUMNS", "LINES", *environment.TOKEN_VARIABLES):
        monkeypatch.setenv(name, "")  # so that it is as before afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "someone")
    return monkeypatch


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        (None, None, "localhost,127.0.0.1,::1"),
        ("lab.example", None, "lab.example,localhost,127.0.0.1,::1"),
        (None, "lab.example, localhost", "lab.example,localhost,127.0.0.1,::1"),
        ("a", "b", "a,b,localhost,127.0.0.1,::1"),
        ("*", None, "*"),
    ],
)
def test_a_proxy_does_not_catch_this_machine(bare, lower, upper, expected) -> None:
    for name, value in (("no_proxy", lower), ("NO_PROXY", upper)):
        if value is not None:
            bare.setenv(name, value)
    bare.setenv("http_proxy", "http://proxy.example:3128")
    complete_environment()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == expected
    for host in ("localhost:5000", "127.0.0.1:8265"):
        assert urllib.request.proxy_bypass(host)


@pytest.mark.parametrize(
    ("given", "width"), [("0", 80), ("-5", 80), ("", 80), ("wide", 80), ("3", 80), ("40", 40)]
)
def test_a_terminal_has_a_width(bare, given, width) -> None:
    bare.setenv("COLUMNS", given)
    bare.setenv("LINES", "0")
    complete_environment()
    assert "LINES" not in os.environ
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        assert Console(file=nowhere).width == width


def test_a_user_without_an_account_has_a_name(bare) -> None:
    import getpass

    for name in environment.USER_VARIABLES:
        bare.setenv(name, "")

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    bare.setattr(environment.pwd, "getpwuid", unknown)
    complete_environment()
    assert getpass.getuser() == f"uid{os.getuid()}"


def test_a_home_that_is_writable_keeps_ray_s_token(bare) -> None:
    complete_environment()
    assert "RAY_AUTH_TOKEN" not in os.environ


@pytest.mark.parametrize("home", ["/proc", "/dev/null", "/dev/null/below"])
def test_without_a_writable_home_ray_s_token_is_in_the_environment(bare, home) -> None:
    allowed = os.access
    bare.setattr(os, "access", lambda path, mode: str(path) != "/proc" and allowed(path, mode))
    bare.setenv("HOME", home)
    complete_environment()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    bare.setenv("RAY_AUTH_TOKEN", "mine")
    complete_environment()
    assert os.environ["RAY_AUTH_TOKEN"] == "mine"


def test_a_token_of_the_user_is_used_even_if_no_other_could_be_written(bare, tmp_path) -> None:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("token", encoding="utf-8")
    bare.setattr(os, "access", lambda path, mode: mode == os.R_OK)
    complete_environment()
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_uv_run_copies_no_working_directory_and_postgresql_is_given_up_soon() -> None:
    assert DRIVER["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] == "0"
    assert int(DRIVER["PGCONNECT_TIMEOUT"]) <= 15
