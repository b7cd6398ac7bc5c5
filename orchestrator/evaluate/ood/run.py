"""Score exported models on NSD-synthetic, and print r in and out of distribution."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import torch
from rich.console import Console

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.questions import ood
from orchestrator.analyze.run import make
from orchestrator.cli.text import count
from orchestrator.encoding_models.config import find_models
from orchestrator.encoding_models.shared_backbone import by_backbone
from orchestrator.encoding_models.trust import require_trust
from orchestrator.evaluate.ood.model_scores import score_model, sources_of
from orchestrator.evaluate.ood.predictions import predict_images
from orchestrator.evaluate.ood.refitted_readout import FEWEST_GROUPS
from orchestrator.evaluate.ood.synthetic_subjects import Matched, match_models
from orchestrator.evaluate.ood.tables import ood_tables
from orchestrator.scores.display.style import mark_simulated
from orchestrator.scores.export import check_export, write_rows
from orchestrator.scores.ood.score_files import ALL_CLASSES, is_written, read_scores, write_scores
from orchestrator.scores.ood.summaries import note_rois, summarise
from orchestrator.scores.ood.summary_table import summary_table
from orchestrator.scores.rows import By
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory


@dataclass(frozen=True)
class OodSettings:
    """The settings of one comparison."""

    models: Path
    data: DataDirectory
    runs: RunDirectory
    by: By = "group"
    export: Path | None = None
    trust_code: bool = False
    """Whether the code of backbones from users' files is run."""


def evaluate_ood(settings: OodSettings, console: Console) -> None:
    """Score the models that have no scores yet, print the tables of all, and make the report's.

    Raises InputError (or ValueError) for invalid input, before anything is computed.
    """
    if settings.export is not None:
        check_export(settings.export)
    found = find_models(settings.models, trust_code=settings.trust_code)
    matched, notes = match_models(found, settings.data)
    require_trust(model for one in matched for model in one.models)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    paths = [settings.runs.ood_file(m.config.name) for one in matched for m in one.models]
    n_new = sum(_score(one, settings.runs, device) for one in matched)
    line = f"{count(len(paths), 'model')} scored on NSD-synthetic, of which {n_new:,} now"
    scores = pa.concat_tables(read_scores(path) for path in paths)
    for note in (*notes, line, *_groups(scores)):
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    _show(scores, settings, console)
    inputs = Inputs(settings.runs, settings.data)
    made = make(ood.ANALYSIS, inputs)
    for note in ood.ANALYSIS.notes(inputs):
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    if made.state == "failed":
        raise ValueError(made.message.removeprefix("ValueError: "))


def _groups(scores: pa.Table) -> Iterator[str]:
    """Say how many groups the images of each subject are divided into."""
    whole = scores.filter(pc.equal(scores["image_class"], ALL_CLASSES))
    columns = (whole[name].to_pylist() for name in ("subject", "n_images", "n_groups"))
    for subject, n_images, n_groups in dict.fromkeys(zip(*columns, strict=True)):
        line = f"{subject}: {n_images} images in {count(n_groups, 'group')} of similar ones"
        few = f", too few to fit a readout to them: expected {FEWEST_GROUPS}"
        yield line + (few if n_groups < FEWEST_GROUPS else "")


def _show(scores: pa.Table, settings: OodSettings, console: Console) -> None:
    summaries = summarise(scores, settings.by)
    if not summaries:
        console.print("no vertex has an r of both data sets: responses or predictions are constant")
        return
    is_simulated = any(scores["is_simulated"].to_pylist())
    for table in ood_tables(summaries):
        console.print(mark_simulated(table) if is_simulated else table)
    if (note := note_rois((one.row.label, one.rois) for one in summaries)) is not None:
        console.print(note, highlight=False, markup=False)
    if settings.export is not None:
        rows = summary_table(summaries, settings.by, is_simulated=is_simulated)
        n_rows = write_rows(rows, settings.export)
        console.print(f"{settings.export}: {count(n_rows, 'row')}", highlight=False, markup=False)


def _score(matched: Matched, runs: RunDirectory, device: torch.device) -> int:
    """Score the models of a subject that have no scores of these data; return their number."""
    sources = {one.config.name: sources_of(one, matched.subject) for one in matched.models}
    waiting = [
        one
        for one in matched.models
        if not is_written(runs.fetched(runs.ood_file(one.config.name)), sources[one.config.name])
    ]
    for group in by_backbone(waiting):
        for model, found in predict_images(group, matched.subject, device):
            name = model.config.name
            scores = score_model(model, matched.subject, found)
            write_scores(runs.ood_file(name), scores, sources[name])
    return len(waiting)
