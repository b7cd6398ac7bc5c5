"""The paths of a sweep's directory are spelled in one module, and S3 is asked in few."""

import ast
from collections.abc import Iterator
from pathlib import Path

from trainables.results.run_directory import RunDirectory

HOME = Path(__file__).parents[3]
PRODUCT = sorted(
    path for root in ("trainables", "orchestrator") for path in (HOME / root).rglob("*.py")
)
DIRECTORIES = {
    "trials",
    "scores",
    "predictions",
    "logs",
    "checkpoints",
    "probes",
    "analyses",
    "hyperparameter_search",
    "operation",
    "scratch",
    "ray",
    "report.html",
    "command.json",
    "running.json",
    "cancel",
}
SPELLER = HOME / "trainables" / "results" / "run_directory.py"


def joined(tree: ast.AST) -> Iterator[str]:
    """Yield the texts that are joined to a path by ``/``, and the patterns of a glob."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            parts = [node.left, node.right]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            parts = node.args if node.func.attr in ("glob", "rglob", "joinpath") else []
        else:
            continue
        for part in parts:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield part.value


def spelled(path: Path) -> set[str]:
    """List the names of a sweep's directory that a module joins to paths."""
    found = {text.split("/")[0] for text in joined(ast.parse(path.read_text()))}
    return found & DIRECTORIES


def test_only_the_run_directory_spells_its_paths() -> None:
    assert len(PRODUCT) > 150
    assert spelled(SPELLER) == DIRECTORIES
    others = {
        str(path.relative_to(HOME)): names
        for path in PRODUCT
        if path != SPELLER
        for names in [spelled(path)]
        if names
    }
    assert others == {}


def test_only_storage_and_the_data_directory_ask_s3() -> None:
    asking = {
        str(path.relative_to(HOME))
        for path in PRODUCT
        if "s3_mirror" in path.read_text() and "storage" not in path.parts
    }
    assert asking == {"orchestrator/execution/run_lock.py", "trainables/data/data_directory.py"}


def test_outcomes_and_scores_are_listed_without_files_that_are_being_written(
    tmp_path: Path,
) -> None:
    runs = RunDirectory(tmp_path)
    for path in (
        runs.outcome_file("b"),
        runs.outcome_file("a"),
        runs.outcome_file(".a.json.17"),
        runs.score_file("a", "one"),
        runs.score_file("b", "two"),
        runs.score_file("b", ".two"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert runs.trial_ids() == ["a", "b"]
    assert runs.score_files() == [runs.score_file("a", "one"), runs.score_file("b", "two")]
    assert runs.score_files("b") == [runs.score_file("b", "two")]
    assert runs.has_scores(["c", "b"])
    assert not runs.has_scores(["c"])
