"""The mean scores of a sweep, by method, setting and ROI group, as plain numbers."""

from collections.abc import Collection

from orchestrator.scores.filters import of_latest_data, one_model_per_roi, started_in
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics.summaries import summarise
from trainables.results.run_directory import RunDirectory


def mean_scores(runs: RunDirectory, trial_ids: Collection[str]) -> dict[str, float]:
    """Average r as tables do; return it by ``PROTOCOL_r_mean LABEL GROUP``, empty without scores.

    Raises InputError (or ValueError) when a score file is damaged.
    """
    if not runs.has_scores(trial_ids):
        return {}
    table = of_latest_data(read_score_table(runs, trial_ids), started_in(runs))[0]
    means = {}
    for protocol in table.present("protocol"):
        kept = one_model_per_roi(table.keep("protocol", [protocol]))[0]
        for one in summarise(kept.over_seeds, "group"):
            if one.mean is not None:
                means[f"{protocol}_r_mean {one.method} {one.row.label}"] = one.mean
    return means
