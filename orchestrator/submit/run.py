"""Check everything, predict the test images subject by subject, and write the submission."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Final, Literal
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from orchestrator.cli.errors import InputError
from orchestrator.cli.text import count
from orchestrator.encoding_models.config import ModelDirectory, find_models
from orchestrator.encoding_models.shared_backbone import SharedBackbone, by_backbone
from orchestrator.encoding_models.trust import require_trust
from orchestrator.ingest.algonauts.files import find_subjects
from orchestrator.ingest.checked import Findings
from orchestrator.ingest.progress import bar, progress_bars
from orchestrator.ingest.simulated import is_simulated
from orchestrator.predict.sources import FolderSource
from orchestrator.submit.challenge_files import inspect_subject
from orchestrator.submit.score import noise_normalised
from orchestrator.submit.vertex_choice import SubjectPlan, plan_subject
from trainables.storage.atomic import atomic_write
from trainables.worker.score_subject import FEATURE_BATCH

FILL: Final = 0.0
"""Prediction of a vertex without a model, where the user asks for it: the mean of responses that
are z-scored by session."""
_DATE: Final = (1980, 1, 1, 0, 0, 0)
"""Of every file in the archive, so that equal predictions are equal archives."""

Predicted = NDArray[np.float32]


@dataclass(frozen=True)
class SubmitSettings:
    """The settings of one submission."""

    models: Path
    source: Path
    out: Path
    subjects: tuple[int, ...] | None = None
    """None: every subject of the source."""
    test_responses: Path | None = None
    fill: Literal["zero"] | None = None
    """What vertices of no model's ROI are filled with; None: there must be none."""
    trust_code: bool = False
    """Whether the code of backbones from users' files is run."""


def submit(settings: SubmitSettings, console: Console) -> None:
    """Write a submission, and score it where there are test responses.

    Raises InputError (or ValueError) for invalid input; the archive is complete or absent.
    """
    _check_out(settings.out)
    plans = _plan(settings)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scores: dict[str, NDArray[np.float64]] = {}
    n_images = sum(len(_groups(plan)) * plan.subject.n_images for plan in plans)
    with (
        atomic_write(settings.out) as beside,
        ZipFile(beside, "w") as archive,
        progress_bars() as progress,
        bar(progress, "test images", n_images) as advance,
    ):
        for plan in plans:
            predicted = _predict(plan, device, advance)
            _add(archive, plan, predicted)
            if settings.test_responses is not None:
                scores[plan.subject.subject] = _score(plan, predicted)
    lines = [_describe(plan) for plan in plans]
    lines += _describe_scores(scores) if scores else []
    suffix = " (simulated data)" if is_simulated(settings.source) else ""
    lines.append(f"{settings.out}: {count(len(plans), 'subject')}{suffix}")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _check_out(out: Path) -> None:
    """Raise InputError for an archive that can't be written."""
    if out.suffix != ".zip":
        raise InputError(f"--out {out}: expected a name that ends in .zip")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: {out.parent} is not a directory; create it first")
    if out.exists():
        raise InputError(f"--out {out}: there already; remove it, or give another one")


def _plan(settings: SubmitSettings) -> list[SubjectPlan]:
    """Check models and source; raise InputError listing every problem."""
    models = find_models(settings.models, trust_code=settings.trust_code)
    simulated = is_simulated(settings.source)
    files = find_subjects(settings.source, settings.subjects, None)
    findings = Findings()
    if settings.subjects is None:
        findings.attempt(_check_subjects, models, [one.subject for one in files], settings.source)
    plans = []
    for one in files:
        found = inspect_subject(one, settings.test_responses, findings, simulated=simulated)
        if found is not None:
            plan = partial(plan_subject, source=settings.source, simulated=simulated)
            plans.append(findings.attempt(plan, found, models))
    findings.raise_if_any()
    complete = [plan for plan in plans if plan is not None]
    require_trust(share.model for plan in complete for share in plan.shares)
    if settings.fill is None:
        _check_complete(complete)
    return complete


def _check_complete(plans: Sequence[SubjectPlan]) -> None:
    """Raise InputError where vertices are of no model's ROI."""
    missing = [
        f"{plan.subject.subject} {name} {plan.n_without(name):,} of {one.n_vertices:,}"
        for plan in plans
        for name, one in plan.subject.hemispheres.items()
        if plan.n_without(name)
    ]
    if missing:
        raise InputError(
            f"vertices of no model's ROI: {', '.join(missing)}; sweep and export the ROI of all "
            "vertices with --rois all, or fill these with 0 by --fill zero"
        )


def _check_subjects(
    models: Sequence[ModelDirectory], subjects: Sequence[str], source: Path
) -> None:
    """Raise InputError where there are models of subjects that the source lacks."""
    missing = sorted({one.config.roi.subject for one in models} - set(subjects))
    if missing:
        raise InputError(
            f"{source}: {', '.join(missing)} is not there, of which there are models, only "
            f"{', '.join(subjects)}; download it, or name the others with --subjects"
        )


def _groups(plan: SubjectPlan) -> list[list[ModelDirectory]]:
    return by_backbone(share.model for share in plan.shares)


def _predict(
    plan: SubjectPlan, device: torch.device, advance: Callable[[int], None]
) -> dict[str, Predicted]:
    """Predict a subject's test images, each backbone once: (n_images, n_vertices) by hemisphere.

    Raises InputError naming the images that can't be read.
    """
    subject = plan.subject
    predicted = {
        name: np.full((subject.n_images, one.n_vertices), FILL, np.float32)
        for name, one in subject.hemispheres.items()
    }
    shares = {share.model.config.name: share for share in plan.shares}
    source, step = FolderSource(subject.images), FEATURE_BATCH[device.type]
    starts = range(0, subject.n_images, step)
    rows = [range(start, min(start + step, subject.n_images)) for start in starts]
    for group in _groups(plan):
        backbone = SharedBackbone(group, device)
        for batch in source.batches(rows, backbone.resizing):
            if batch.problems:
                raise InputError(*batch.problems.values())
            few = slice(batch.rows.start, batch.rows.stop)
            for model, values in zip(group, backbone.predict(batch.pixels), strict=True):
                share = shares[model.config.name]
                of_side = predicted[model.config.roi.hemisphere]
                of_side[few, share.vertices] = values[:, share.columns]
            advance(len(batch.rows))
    return predicted


def _add(archive: ZipFile, plan: SubjectPlan, predicted: Mapping[str, Predicted]) -> None:
    """Add a subject's predictions to the archive."""
    for name, values in predicted.items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"{plan.subject.subject} {name}: predictions that are NaN or infinite; export its "
                "models again"
            )
        member = ZipInfo(f"{plan.subject.subject}/{name}_pred_test.npy", _DATE)
        member.compress_type = ZIP_DEFLATED
        member.external_attr = 0o644 << 16
        content = BytesIO()
        np.lib.format.write_array(content, values, allow_pickle=False)
        archive.writestr(member, content.getvalue())


def _score(plan: SubjectPlan, predicted: Mapping[str, Predicted]) -> NDArray[np.float64]:
    """Score a subject's vertices, those of lh first."""
    measured = {name: one.measured for name, one in plan.subject.hemispheres.items()}
    return np.concatenate(
        [
            noise_normalised(one.responses, predicted[name], one.noise_ceiling)
            for name, one in measured.items()
            if one is not None
        ]
    )


def _describe(plan: SubjectPlan) -> str:
    """Say by how many models a subject's vertices are predicted, and how many have none."""
    sides = []
    for name, hemisphere in plan.subject.hemispheres.items():
        shares, n_filled = plan.of(name), plan.n_without(name)
        n_predicted = hemisphere.n_vertices - n_filled
        filled = f", {n_filled:,} in no model's ROI and filled with 0" if n_filled else ""
        sides.append(
            f"{name} {hemisphere.n_vertices:,} vertices, {n_predicted:,} by "
            f"{count(len(shares), 'model')}{filled}"
        )
    n_images = count(plan.subject.n_images, "test image")
    return f"{plan.subject.subject}: {n_images}; {'; '.join(sides)}"


def _describe_scores(scores: Mapping[str, NDArray[np.float64]]) -> list[str]:
    """State the challenge's score, the median over vertices, of each subject and of all."""
    lines = [f"{name}: challenge score {np.median(one):.2f} %" for name, one in scores.items()]
    every = np.concatenate(list(scores.values()))
    lines.append(
        f"challenge score {np.median(every):.2f} %: median over {len(every):,} vertices of r² in "
        f"per cent of the noise ceiling (mean {every.mean():.2f} %)"
    )
    return lines
