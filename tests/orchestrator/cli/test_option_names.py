"""A refused value is shown with the name of its option, as it was typed."""

from importlib import import_module
from pathlib import Path

import pytest

WORKERS = {
    "--cpus-per-trial": "0",
    "--gpus-per-trial": "1.5",
    "--max-concurrent": "x",
}
RUNS = {
    **WORKERS,
    "--retries": "-1",
    "--stall-timeout": "0",
    "--experiment": "",
}
SELECTION = {"--subjects": "x", "--hemispheres": "up", "--rois": "V1/x"}
INGEST = {"--subjects": "x", "--cpus": "0", "--image-size": "0", "--split": "x"}
OPTIONS = {
    "sweep paper": {
        **RUNS,
        **SELECTION,
        "--workers-per-trial": "0",
        "--precision": "x",
        "--search": "x",
    },
    "evaluate transfer": {**RUNS, **SELECTION},
    "scores": {
        "--subjects": "x",
        "--rois": "V1/x",
        "--by": "x",
        "--rows": "x",
        "--export": "x.doc",
        "--compare": "a b c",
    },
    "analyze": {**WORKERS, "--local-cpus": "0", "--experiment": ""},
    "report": {"--mesh": "x"},
    "ingest algonauts SRC": {**INGEST, "--repeats": "x"},
    "ingest nod SRC": {**INGEST, "--top": "-1", "--sessions": "x", "--zscore": "x"},
    "ingest task SRC": {"--cpus": "0", "--image-size": "0", "--format": "x", "--name": "a/b"},
    "ingest simulate": {
        "--subjects": "x",
        "--n-images": "0",
        "--shared": "-1",
        "--layout": "x",
        "--seed": "-1",
        "--image-size": "0",
    },
}
CASES = [(command, *one) for command, options in OPTIONS.items() for one in options.items()]
REQUIRED = {"ingest": ["--out", "out"], "task": ["--name", "places"]}


@pytest.mark.parametrize(("command", "option", "value"), CASES)
def test_a_refused_value_is_shown_with_its_option(
    command: str,
    option: str,
    value: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    module, *rest = command.split()
    needed = [text for word in command.split() for text in REQUIRED.get(word, [])]
    given = [option, *(value.split() if value else [""])]
    main = import_module(f"orchestrator.{module}.__main__").main
    assert main([*rest, *needed, *given]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert option in line.split(";")[0]
