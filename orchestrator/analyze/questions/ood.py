"""Exported models on NSD-synthetic, images outside the distribution of photographs, by class."""

import shlex

import pyarrow as pa

from orchestrator.analyze.analysis import Analysis, Inputs, Missing
from orchestrator.scores.ood.score_files import read_all_scores
from orchestrator.scores.ood.summaries import summarise
from orchestrator.scores.ood.summary_table import TABLE_SCHEMA, summary_table


def make(inputs: Inputs) -> pa.Table:
    """Summarise the scores of every model by group of ROIs, over all images and by class.

    Files that can't be read are left out.
    """
    files = inputs.runs.ood_files()
    if not files:
        data, out = (shlex.quote(str(one)) for one in (inputs.data, inputs.runs))
        raise Missing(
            "no exported model has been scored on NSD-synthetic",
            f"export models by python -m orchestrator.export --out MODELS, then run "
            f"python -m orchestrator.evaluate ood --models MODELS --data {data} --out {out}",
        )
    tables, notes = read_all_scores(files)
    if not tables:
        raise Missing("no scores of NSD-synthetic can be read", "; ".join(notes))
    scores = pa.concat_tables(tables)
    summaries = summarise(scores, "group")
    if not summaries:
        raise Missing(
            "no vertex has an r of both data sets",
            "look for responses that are constant, or predictions that are, in RUNS/ood",
        )
    return summary_table(summaries, "group", is_simulated=any(scores["is_simulated"].to_pylist()))


ANALYSIS = Analysis(
    name="ood",
    question="How well do models predict responses to images that are no photographs?",
    schema=TABLE_SCHEMA,
    make=make,
    sources=lambda inputs: inputs.runs.ood_files(),
    notes=lambda inputs: read_all_scores(inputs.runs.ood_files())[1],
)
