"""A search that is killed in the midst, and the same command again: nothing is lost."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.processes import descendants, kill, wait_for
from benchmarks.small_shards import write_weights
from tests.builders.sweep_process import Lab

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

SPACE = '''
"""A small search of a user's own."""
from trainables.spec.search import Choice, IntegerRange, LogUniform, Ranges, Search
from trainables.spec import FROM_FILE, Backbone

SEARCH = Search(
    ranges=Ranges(
        temperature=LogUniform(0.1, 1.0),
        learning_rate=LogUniform(1e-5, 3e-3),
        epochs=IntegerRange(3, 6),
        batch_size=Choice((8, 16)),
        hidden_ratio=LogUniform(0.5, 1.5),
        embedding_ratio=LogUniform(0.2, 0.8),
    ),
    n_rois=2, min_vertices=5, n_configurations=4, per_round=2, grace_period=1,
    reduction_factor=2, backbone=Backbone("narrow-alexnet", FROM_FILE), validation=0.3,
)
'''


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab.make(tmp_path_factory.mktemp("hyperparameter_search"))
    (lab.home / "space.py").write_text(SPACE)
    write_weights(lab.home / "weights.safetensors")  # the same ones in every run of this test
    yield lab
    lab.end()


def ended(out: Path) -> dict[str, tuple[Any, ...]]:
    """Say how each trial ended, and what its epochs measured."""
    found = {}
    for path in out.glob("trials/*.json"):
        content = json.loads(path.read_text())
        curve = [(one["epoch"], one["loss"], one["retrieval_top1"]) for one in content["history"]]
        found[path.stem] = (content["status"], curve)
    return found


def frozen(out: Path) -> dict[str, Any]:
    [path] = out.glob("hyperparameter_search/*/hyperparameters.json")
    content = json.loads(path.read_text())
    del content["found"]["date"], content["found"]["code_version"]
    return content


def searched(out: Path) -> dict[str, str]:
    """Read what the searcher knew and proposed, round by round, and what it found."""
    paths = [
        *out.glob("hyperparameter_search/*/round-*.json"),
        *out.glob("hyperparameter_search/*/history.jsonl"),
    ]
    return {path.name: path.read_text() for path in paths}


def test_a_search_killed_in_the_midst_ends_as_an_undisturbed_one(lab: Lab) -> None:
    undisturbed, killed = lab.home / "undisturbed", lab.home / "killed"
    log = lab.finish(undisturbed)
    assert "round 2 of 2" in log
    assert Counter(status for status, _ in ended(undisturbed).values()).keys() == {
        "finished",
        "stopped",
    }
    assert len(ended(undisturbed)) == 8
    assert not (undisturbed / "scores").exists()

    process = lab.start(killed)
    wait_for(lambda: len(ended(killed)) >= 3, "three ended trials")
    kill({process.pid, *descendants(process.pid)})
    process.wait(10)
    before = ended(killed)
    assert len(before) < 8
    lab.finish(killed)

    assert ended(killed) == ended(undisturbed)
    assert before.items() <= ended(killed).items()
    assert frozen(killed) == frozen(undisturbed)
    assert searched(killed) == searched(undisturbed)
    assert searched(killed).keys() == {"round-00.json", "round-01.json", "history.jsonl"}
    assert not [*killed.glob("checkpoints/*"), *killed.glob("hyperparameter_search/checkpoints/*")]
    assert len(list(killed.glob("hyperparameter_search/*/parallel.*"))) == 2
