"""Tables of statistics on a terminal of 80 columns."""

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from orchestrator.scores.display.statistics_tables import subject_table
from orchestrator.scores.statistics.subject_tests import SubjectBootstrap, compare_over_subjects
from tests.builders.made_up_pairs import made_up

ROIS = ("V1v", "mfs-words", "midventral", "HCP_MMP1-V1")
DRAW = SubjectBootstrap(n_draws=50)


@pytest.mark.parametrize("a", ["contrastive", "contrastive temperature=0.1 learning_rate=0.0001"])
def test_names_of_rois_are_whole_on_80_columns(a: str) -> None:
    """The title names the methods, whose column would leave no room."""
    places = [(f"subj{number:02d}", roi) for number in range(1, 9) for roi in ROIS]
    values = np.random.default_rng(0).normal(0.4, 0.1, (2, len(places), 20))
    pairs = replace(made_up(*places, a=values[0], b=values[1]), a=a)
    tests = compare_over_subjects(pairs, "roi", DRAW)
    console = Console(width=80, color_system=None)
    with console.capture() as captured:
        console.print(subject_table(tests, "roi", "nested", DRAW))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= 80
    begins = [line.split("+")[0].split("-0.")[0].strip() for line in lines]
    assert [one for one in begins if one in ROIS] == list(ROIS)
    assert a.split()[0] in lines[0]
