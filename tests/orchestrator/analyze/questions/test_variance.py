"""The analysis of variance of made-up probes: means, intervals, and what is said of them."""

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console
from scipy.stats import t

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.catalogue import find
from orchestrator.analyze.variance_table import variance_table
from orchestrator.report.sections.variance import section
from trainables.data.data_directory import DataDirectory
from trainables.encoding.variance import MODELS
from trainables.probes.probe import Probed, Result, probe_name, write_result
from trainables.probes.variance import QUANTITIES, SCHEMA, VARIANCE
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Encoding, Roi, Trial

R2 = {"untuned": 0.3, "tuned": 0.32, "joint": 0.35, "untuned_banded": 0.3, "tuned_banded": 0.32}
EXTRA = (0.0, 0.02, -0.02)
"""What tuned and joint have more of in each of three subjects."""
N_TEST = 50


def write(runs, subject, extra, *, seed=0, name="V1v", encoding=None, effect=0.0):
    """Write a probe of a contrastive model: three vertices, of which the last has no score."""
    roi = Roi("nsd", subject, "lh", name, 3, "0123abcd")
    probed = Probed(Trial(Contrastive(), (roi,), encoding=encoding or Encoding(), seed=seed))
    row = {"roi_id": roi.id, "n_fitted": 100, "n_test": N_TEST, "vertex": [0, 1, 2]}
    row["stimulus"] = [f"{subject}-{k}" for k in range(N_TEST)]
    for quantity in QUANTITIES:
        model = quantity.partition("_")[2]
        value = R2[model] + (extra if model in ("tuned", "joint", "tuned_banded") else 0)
        value = value**0.5 if quantity.startswith("r_") else value
        row[quantity] = [value - 0.1, value + 0.1, np.nan]
        sign = 1 if model == "joint" else 0
        row[f"{quantity}_effects"] = [sign * effect * (-1) ** k for k in range(N_TEST)]
    assert set(MODELS) == set(R2)
    protocol = "clean" if encoding else "nested"
    result = Result(pa.Table.from_pylist([row], SCHEMA), {"protocol": protocol})
    path = runs.probe_file("variance", probe_name(VARIANCE, probed, None))
    write_result(path, VARIANCE, probed, VARIANCE.inputs(probed, None), result)


def table_of(runs):
    [one] = find(["variance"])
    return one.make(Inputs(runs, DataDirectory(runs.path / "data")))


@pytest.fixture
def runs(tmp_path):
    return RunDirectory(tmp_path)


def test_parts_are_differences_of_r2_with_the_interval_over_subjects(runs) -> None:
    for number, extra in enumerate(EXTRA):
        write(runs, f"subj0{number + 1}", extra)
    [row] = table_of(runs).to_pylist()
    assert row["unique_tuned"] == pytest.approx(0.05)
    assert row["unique_untuned"] == pytest.approx(0.03)
    assert row["shared"] == pytest.approx(0.27)
    assert row["r2_joint"] == pytest.approx(0.35)
    half = t.ppf(0.975, 2) * np.std(EXTRA, ddof=1) / 3**0.5
    assert row["unique_tuned_high"] - row["unique_tuned"] == pytest.approx(half)
    assert row["unique_tuned"] - row["unique_tuned_low"] == pytest.approx(half)
    assert row["unique_untuned_high"] == pytest.approx(row["unique_untuned_low"])  # all alike
    assert (row["n_vertices"], row["n_rois"], row["n_subjects"], row["n_seeds"]) == (6, 3, 3, 1)
    assert row["covers_subjects"]


def test_the_interval_of_one_subject_is_over_its_images_and_seeds(runs) -> None:
    for seed in (0, 1):
        write(runs, "subj01", 0.02 * seed, seed=seed, effect=0.001)
    [row] = table_of(runs).to_pylist()
    assert row["unique_tuned"] == pytest.approx(0.06)
    assert row["n_seeds"] == 2
    assert not row["covers_subjects"]
    assert row["covers_seeds"]
    over_images = t.ppf(0.975, N_TEST - 1) * 0.001 * N_TEST**0.5
    over_seeds = t.ppf(0.975, 1) * 0.01
    half = np.hypot(over_images, over_seeds)
    assert row["unique_tuned_high"] - row["unique_tuned"] == pytest.approx(half)


def test_protocols_are_apart_and_the_page_and_the_terminal_say_each(runs) -> None:
    write(runs, "subj01", 0.0)
    write(runs, "subj01", 0.0, name="EBA")
    write(runs, "subj02", 0.0, encoding=Encoding(protocols=("nested",), n_folds=4))
    table = table_of(runs)
    assert {row["protocol"] for row in table.to_pylist()} == {"nested", "clean"}
    found = section(table)
    assert [figure.caption.split("protocol ")[1][:6] for figure in found.figures] == [
        "clean.",
        "nested",
    ]
    assert any("In higher ROIs" in line and "+0.050" in line for line in found.reading)
    assert not any("In all ROIs" in line for line in found.reading)
    console = Console(width=110, record=True)
    console.print(variance_table(table))
    shown = console.export_text()
    assert "Variance explained, protocol clean, nested" in shown
    assert "+0.050" in shown
