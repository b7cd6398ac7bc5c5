"""The environment of processes: set at their start, and by no library function."""

import ast
from pathlib import Path

from orchestrator.cli.environment import set_environment

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
    import os

    assert os.environ["SWEEP_TEST_SET"] == "mine"
    assert os.environ.pop("SWEEP_TEST_UNSET") == "ours"
