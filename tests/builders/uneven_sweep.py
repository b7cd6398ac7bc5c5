"""A made-up sweep of three subjects that lack different ROIs, with a planted truth.

Every method's gain over untuned is planted, and differs between methods and ROI groups. Mean r
differs much more between ROIs than any gain: a mean over other ROIs shows at once.
"""

import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.catalogue import find
from tests.builders.small_scores import ENCODING, LAYERS, write_of
from trainables.data.data_directory import DataDirectory
from trainables.probes.classification import CLASSIFICATION
from trainables.probes.classification import SCHEMA as CLASSIFIED
from trainables.probes.probe import Probed, Result, write_result
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Pooled, Regression, Roi, Trial, Untuned, digest
from trainables.spec.evaluation import Evaluation, WorkItem, method_on
from trainables.spec.rois import roi_group_of

COLUMNS: Final = {
    "V1v": range(30),
    "hV4": range(30, 50),
    "EBA": range(50, 90),
    "FFA-1": range(70, 100),  # 20 vertices are in EBA too
    "ventral": range(100),
}
"""Vertices of each ROI."""
LEVEL: Final = {"V1v": 0.5, "hV4": 0.3, "EBA": 0.45, "FFA-1": 0.2, "ventral": 0.4}
"""Mean r of the untuned backbone."""
PRESENT: Final = {
    "subj01": ("V1v", "hV4", "EBA", "FFA-1", "ventral"),
    "subj02": ("V1v", "EBA", "ventral"),
    "subj03": ("V1v", "hV4", "FFA-1", "ventral"),
}
OBJECTIVES: Final = (Contrastive(), Regression())
GAINS: Final = {
    ("contrastive", "early"): 0.02,
    ("contrastive", "higher"): -0.03,
    ("contrastive", "streams"): 0.05,
    ("regression", "early"): -0.04,
    ("transfer-contrastive", "early"): 0.01,
    ("transfer-contrastive", "higher"): 0.01,
    ("transfer-contrastive", "streams"): 0.01,
    ("pooled-avg", "early"): 0.04,
    ("pooled-const", "early"): -0.01,
}
"""Of a method on a group; regression is fine-tuned on early ROIs only."""
TASKS: Final = ("objects", "scenes")


def rois_of(subject: str) -> list[Roi]:
    """List a subject's ROIs, of lh."""
    return [Roi("nsd", subject, "lh", n, len(COLUMNS[n]), "0123abcd") for n in PRESENT[subject]]


def all_rois() -> list[Roi]:
    """List the ROIs of all subjects."""
    return [roi for subject in PRESENT for roi in rois_of(subject)]


def trials() -> Iterator[Trial]:
    """List untuned, single-subject and pooled trials."""
    everywhere = all_rois()
    for objective, roi in itertools.product((Untuned(), *OBJECTIVES), everywhere):
        if isinstance(objective, Regression) and roi_group_of(roi.name) != "early":
            continue
        yield Trial(objective, (roi,), encoding=ENCODING)
    v1 = tuple(roi for roi in everywhere if roi.name == "V1v")
    for width in (Pooled().hidden_dim, 5741):
        yield Trial(Pooled(hidden_dim=width), v1, encoding=ENCODING)


def evaluations() -> Iterator[Evaluation]:
    """List the contrastive models on the same ROI of other subjects."""
    models = [Trial(Contrastive(), (roi,), encoding=ENCODING) for roi in all_rois()]
    for model, target in itertools.product(models, all_rois()):
        [own] = model.rois
        if own.name == target.name and own.subject != target.subject:
            yield Evaluation(model, (target,))


def write_uneven(runs: Path) -> None:
    """Write all scores, and probes of two tasks."""
    chosen = itertools.cycle(LAYERS)
    for item in (*trials(), *evaluations()):
        for roi in item.rois:
            write_of(runs, item, roi, planted(item, roi), ("nested",), next(chosen), columns(roi))
    found = {one.id: one for one in map(Probed, trials())}
    for number, (one, task) in enumerate(itertools.product(found.values(), TASKS)):
        write_probe(RunDirectory(runs), one, task, 0.3 + 0.01 * number)


def columns(roi: Roi) -> NDArray[np.int32]:
    """Return an ROI's columns of the hemisphere."""
    return np.array(COLUMNS[roi.name], dtype=np.int32)


def planted(item: WorkItem, roi: Roi) -> NDArray[np.float64]:
    """Return the r of a method on an ROI: the untuned backbone's, and the gain."""
    generator = np.random.default_rng([int(roi.subject[-1]), COLUMNS[roi.name].start])
    base = LEVEL[roi.name] + generator.normal(0, 0.05, len(COLUMNS[roi.name]))
    gain = GAINS.get((method_on(item, roi), roi_group_of(roi.name)), 0.0)
    found: NDArray[np.float64] = base + gain
    return found


def write_probe(runs: RunDirectory, probed: Probed, task: str, accuracy: float) -> None:
    """Write what a classification probe leaves."""
    inputs = {"task": task, "data": f"data-{task}", "layer": LAYERS[1], "C": 1.0}
    generator = np.random.default_rng(len(probed.id))
    logs = np.log(generator.dirichlet(np.ones(3), 4))
    rows = pd.DataFrame({"index": range(4), "label": [0, 1, 2, 0], "log_probabilities": list(logs)})
    numbers = {"accuracy": accuracy, "log_loss": 1.0, "n_test": 4, "n_classes": 3}
    key = digest([CLASSIFICATION.version, probed.id, inputs])
    path = runs.probe_file(CLASSIFICATION.name, f"{probed.id}-{key}")
    table = CLASSIFIED.empty_table().from_pandas(rows, CLASSIFIED, preserve_index=False)
    result = Result(table, {**numbers, "converged": True})
    write_result(path, CLASSIFICATION, probed, inputs, result)


@pytest.fixture(scope="session")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> tuple[Inputs, pd.DataFrame]:
    """The sweep, and its raw scores."""
    home = tmp_path_factory.mktemp("uneven")
    write_uneven(home)
    return Inputs(RunDirectory(home), DataDirectory(home / "data")), raw_scores(home)


@cache
def table_of(inputs: Inputs, name: str) -> pa.Table:
    """Make the table of an analysis."""
    [one] = find([name])
    return one.make(inputs)


def roi_means(raw: pd.DataFrame, method: str) -> "pd.Series[float]":
    """Average r by subject, group and ROI, a method's trials together."""
    of_method = raw[raw["method"] == method]
    return of_method.groupby(["subject", "group", "roi"])["r"].mean()


def raw_scores(runs: Path) -> pd.DataFrame:
    """Read the score files as they are, with each ROI's group."""
    frame = pd.concat(map(pd.read_parquet, sorted((runs / "scores").rglob("*.parquet"))))
    text = ["trial_id", "method", "subject", "hemisphere", "roi", "layer"]
    return frame.astype(dict.fromkeys(text, str)).assign(
        group=frame["roi"].astype(str).map(roi_group_of)
    )
