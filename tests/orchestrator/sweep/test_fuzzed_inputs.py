"""Mutated manifests, outcomes, frozen files and search spaces: a plan, or one line and code 2.

``make fuzz`` runs 2,000 examples, ``make test`` 150.
"""

import json
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from orchestrator.sweep import __main__ as sweep
from orchestrator.sweep import confinement
from tests.builders.sweep_command import SPACE, command
from trainables.data.data_directory import MANIFEST, DataDirectory
from trainables.data.shards import list_rois
from trainables.models.weights_name import weights_name
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.spec import Backbone, Contrastive, Encoding, Trial

pytestmark = pytest.mark.slow

CPU_SECONDS = 5.0
N_EXAMPLES = max(150, settings.default.max_examples)
FROZEN = {
    "schema_version": 1,
    "hyperparameters": {
        "temperature": 0.2,
        "learning_rate": 1e-4,
        "epochs": 2,
        "batch_size": 16,
        "hidden_ratio": 0.5,
        "embedding_ratio": 0.5,
    },
    "found": {},
}
NUMBERS = [
    0,
    -1,
    -0.0,
    0.5,
    1e-320,
    1e300,
    2**31,
    2**62,
    2**63,
    10**400,
    float("nan"),
    float("inf"),
]
VALUES = st.recursive(
    st.sampled_from([None, True, False, "", "V1v", "../up", "a\0b", "\ud800", "x" * 5000, *NUMBERS])
    | st.integers()
    | st.floats()
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
PLACES = st.tuples(st.lists(st.integers(0, 30), min_size=1, max_size=5), st.booleans(), VALUES)
"""A path of positions into nested content, whether to remove what is there, and a value."""
EXPRESSIONS = st.sampled_from(
    """
    rois
    rois[:1]
    (rois[0],)
    (rois[0], rois[0])
    ()
    None
    3
    'a'
    rois[0]
    True
    -1
    0
    1.5
    1e400
    float('nan')
    10**400
    2**62
    b'x'
    []
    {}
    Contrastive()
    Contrastive(epochs=2)
    Untuned()
    Regression(epochs=1)
    Pooled()
    Backbone('tiny', FROM_FILE)
    Backbone('tiny')
    Backbone('resnet999')
    Encoding()
    ENCODING
    Encoding(layers=('1',), n_folds=10**6)
    Encoding(layers=('0', '4'))
    (x for x in rois)
    Roi('nsd', 'subj09', 'lh', 'V1v', 3, 'x')
    object()
    1 / 0
    """.strip().splitlines()
).map(str.strip)
STATEMENTS = st.sampled_from(
    """
    pass
    return
    return 3
    yield 3
    yield None
    yield rois[0]
    raise SystemExit(0)
    raise KeyboardInterrupt
    while True: yield TRIAL(rois)
    while True: pass
    import gone
    yield TRIAL(rois)
    yield from map(TRIAL, [rois] * 3)
    rois.clear()
    print('x')
    __import__('os')._exit(0)
    assert False, 'x' * 10**5
    yield from trials(rois)
    ((
    """.strip().splitlines()
).map(str.strip)


def mutated(content: Any, path: list[int], remove: bool, value: Any) -> Any:
    """Replace or remove what is at a path; positions count from the start again at the end."""
    if not path or not isinstance(content, dict | list) or not content:
        return value
    keys = sorted(content) if isinstance(content, dict) else range(len(content))
    key = keys[path[0] % len(content)]
    copy: Any = content.copy()
    if remove and len(path) == 1:
        del copy[key]
    else:
        copy[key] = mutated(content[key], path[1:], remove, value)
    return copy


@st.composite
def record_texts(draw: st.DrawFn, content: dict[str, Any]) -> bytes:
    """Draw JSON with some values replaced or removed, and perhaps some bytes changed."""
    for path, remove, value in draw(st.lists(PLACES, max_size=3)):
        content = mutated(content, path, remove, value)
    text = bytearray(json.dumps(content).encode("utf-8", "replace"))
    for at, byte in draw(st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=2)):
        text[at % len(text)] = byte
    return bytes(text[: draw(st.sampled_from([None, None, None, 0, 1, len(text) // 2]))])


@st.composite
def space_texts(draw: st.DrawFn) -> str:
    """Draw a search space: any expressions as a trial's arguments, any statements around it."""
    names = draw(st.lists(st.sampled_from(["rois", "backbone", "encoding", "seed"]), unique=True))
    given_ = ", ".join(f"{name}={draw(EXPRESSIONS)}" for name in names)
    body = draw(st.lists(STATEMENTS, min_size=1, max_size=3))
    return "\n".join(
        [
            "from trainables.spec import *",
            'ENCODING = Encoding(layers=("1",))',
            f"def TRIAL(rois): return Trial({draw(EXPRESSIONS)}, {given_})",
            "def trials(rois):",
            *(f"    {one}" for one in body),
            "    yield TRIAL(rois)" if draw(st.booleans()) else "",
        ]
    )


def inputs(home: Path) -> dict[str, tuple[Path, bytes]]:
    """Write a finished trial's outcome and a frozen file; return each input's path and content."""
    roi = list_rois(DataDirectory(home / "data"))[0]
    backbone = Backbone("tiny", weights_name(home / "weights.safetensors"))
    trial = Trial(Contrastive(epochs=2), (roi,), backbone, Encoding(layers=("1",)))
    runs = RunDirectory(home / "runs")
    Outcome(trial, "failed", "host", "cpu", 1.0, {"reading": 2.0}, error="x").write(runs)
    (home / "frozen.json").write_text(json.dumps(FROZEN), encoding="utf-8")
    paths = {
        "manifest": home / "data" / roi.shard / MANIFEST,
        "outcome": runs.outcome_file(trial.id),
        "frozen": home / "frozen.json",
        "space": home / "space.py",
    }
    return {name: (path, path.read_bytes()) for name, path in paths.items()}


def run(arguments: list[str]) -> tuple[int, str, float]:
    """Run the command in this process: its code, its messages, its CPU time."""
    errors, started = StringIO(), time.process_time()
    with redirect_stderr(errors), redirect_stdout(StringIO()):
        code = sweep.main(arguments)
    return code, errors.getvalue(), time.process_time() - started


@pytest.fixture
def short_limits(monkeypatch) -> None:
    monkeypatch.setattr(confinement, "MAX_ITEMS", 200)
    monkeypatch.setattr(confinement, "CPU_SECONDS", 0.3)
    monkeypatch.setattr(confinement, "LOADING", 1.0)


FILES = st.sampled_from(["manifest", "outcome", "frozen", "space"])


@given(data=st.data(), changed=st.lists(FILES, min_size=1, max_size=2, unique=True))
@settings(suppress_health_check=list(HealthCheck), max_examples=N_EXAMPLES)
def test_a_mutated_input_is_planned_or_refused_in_one_line(
    home, short_limits, data, changed
) -> None:
    originals = inputs(home)
    makers: dict[str, Callable[[], bytes]] = {
        name: lambda text=text: data.draw(record_texts(json.loads(text)))
        for name, (_, text) in originals.items()
        if name != "space"
    }
    makers["space"] = lambda: data.draw(space_texts()).encode("utf-8", "replace")
    try:
        for name in changed:
            originals[name][0].write_bytes(makers[name]())
        extra = ["--hyperparameters", "frozen.json"] if "frozen" in changed else []
        code, errors, seconds = run(command("--local", "--dry-run", *extra))
    finally:
        for path, content in originals.values():
            path.write_bytes(content)
    event(f"{' and '.join(sorted(changed))}: code {code}")
    assert code in (0, 2)
    assert seconds < CPU_SECONDS
    lines = [line for line in errors.splitlines() if line != "x"]  # what a space prints
    assert (code == 2) == any(line.startswith("error: ") for line in lines)
    assert all(line.startswith("error: ") and len(line) < 2000 for line in lines)
    assert len(lines) <= 3  # one per kind of problem


def test_the_unchanged_inputs_are_planned(home) -> None:
    inputs(home)
    assert SPACE.encode() == (home / "space.py").read_bytes()
    code, errors, _ = run(command("--local", "--dry-run", "--hyperparameters", "frozen.json"))
    assert (code, errors) == (0, "")
