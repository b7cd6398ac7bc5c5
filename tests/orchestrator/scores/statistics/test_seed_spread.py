"""The standard deviation over seeds of the mean of a row, by hand."""

import numpy as np
import pytest

from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics.summaries import summarise
from tests.builders.small_scores import roi, write
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Untuned


def test_a_row_has_the_spread_of_its_means_over_seeds(tmp_path) -> None:
    r = {"V1v": (0.50, 0.56, 0.47), "hV4": (0.30, 0.32, 0.34)}
    for name, values in r.items():
        write(tmp_path, Untuned(), roi(name), [0.2] * 4)
        for seed, mean in enumerate(values):
            write(tmp_path, Contrastive(), roi(name), [mean - 0.1, mean + 0.1], seed=seed)
    table = read_score_table(RunDirectory(tmp_path))
    found = {
        (one.row.label, one.method): one.seed_sd
        for one in summarise(table.over_seeds, "roi", table.vertices)
    }
    for name, values in r.items():
        assert found[name, "contrastive"] == pytest.approx(np.std(values, ddof=1))
    both = np.mean(list(r.values()), axis=0)
    assert found["all early", "contrastive"] == pytest.approx(np.std(both, ddof=1))
    assert {sd for (_, method), sd in found.items() if method == "untuned"} == {None}


def test_an_roi_with_one_seed_adds_no_spread(tmp_path) -> None:
    write(tmp_path, Contrastive(), roi("V1v"), [0.5], seed=0)
    write(tmp_path, Contrastive(), roi("V1v"), [0.6], seed=1)
    write(tmp_path, Contrastive(), roi("hV4"), [0.3], seed=0)
    table = read_score_table(RunDirectory(tmp_path))
    (one,) = summarise(table.over_seeds, "group", table.vertices)
    assert one.seed_sd == pytest.approx(np.std([0.5, 0.6], ddof=1) / 2)
    assert one.n_seeds == (1, 2)


def test_a_seed_that_no_roi_of_a_row_has_does_not_count(tmp_path) -> None:
    for name, seeds in (("V1v", (0, 1)), ("EBA", (0, 1, 2))):
        for seed in seeds:
            write(tmp_path, Contrastive(), roi(name), [0.5 + 0.1 * seed], seed=seed)
    table = read_score_table(RunDirectory(tmp_path))
    found = {one.row.label: one for one in summarise(table.over_seeds, "group", table.vertices)}
    assert found["early"].seed_sd == pytest.approx(np.std([0.5, 0.6], ddof=1))
    assert found["higher"].seed_sd == pytest.approx(0.1)
