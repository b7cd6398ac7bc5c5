"""Check all of a NOD subject's files before anything is written, and list every problem."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.cli.errors import InputError
from orchestrator.ingest.checked import Findings, Hemisphere, Subject
from orchestrator.ingest.copies import inspect_images
from orchestrator.ingest.nod.atlas import Regions, read_atlas
from orchestrator.ingest.nod.betas import Betas, Columns, check_betas, check_variance
from orchestrator.ingest.nod.cifti import Maps, open_scalars
from orchestrator.ingest.nod.files import DATASET, NodFiles
from orchestrator.ingest.nod.selection import Kept, keep_best, read_prf_r2
from orchestrator.ingest.nod.trials import Run, locate_image, read_image_names, stimulus_of
from orchestrator.ingest.settings import NodChoices
from orchestrator.ingest.splits import split_images


def inspect_nod_subject(
    choices: NodChoices,
    files: NodFiles,
    split: str,
    findings: Findings,
    looked: Callable[[int], None],
) -> Subject | None:
    """Check one subject's files; add problems to findings, and return None if there are any.

    looked: called with the number of images that were checked since its last call.
    """
    before = len(findings.complaints)
    findings.attempt(check_runs, files)
    names = [findings.attempt(read_image_names, run) for run in files.runs]
    reference = _first_sound(files.runs)
    kept = _select(files, reference, choices.top, findings) if reference else {}
    columns = {side: half.columns for side, half in kept.items()}
    for run, shown in zip(files.runs, names, strict=True):
        n_trials = None if shown is None else len(shown)
        used = columns if columns and choices.zscore == "run" else None
        note = findings.attempt(_check_run, run, reference, n_trials, used)
        findings.notes += [note] if note else []
    findings.attempt(check_distinct, files.results, list(zip(files.runs, names, strict=True)))
    shown_names = [name for shown in names if shown for name in shown]
    images = tuple(locate_image(files.stimuli, name) for name in shown_names)
    stimuli = tuple(map(stimulus_of, shown_names))
    chosen = findings.attempt(split_images, split, stimuli) if stimuli else None
    inspect_images(images, chosen, findings, looked)
    if len(findings.complaints) > before or not kept or not chosen:
        return None
    return Subject(
        dataset=DATASET,
        subject=files.subject,
        shard=files.shard,
        images=images,
        stimuli=stimuli,
        hemispheres={side: _describe(half) for side, half in kept.items()},
        responses=Betas(tuple(run.betas for run in files.runs), columns, choices.zscore),
        split=chosen,
        source=files.digest(),
    )


def check_runs(files: NodFiles) -> None:
    """Raise InputError when the subject has no run of the chosen sessions."""
    if not files.runs:
        raise InputError(
            f"{files.results}: expected ses-imagenet01_task-imagenet_run-1 and so on, found no run "
            "of the chosen sessions; download them, give other --sessions, or leave "
            f"{files.subject} out of --subjects"
        )


def _first_sound(runs: Sequence[Run]) -> Maps | None:
    """Open the first readable beta file, with which the others are compared."""
    for run in runs:
        try:
            return open_scalars(run.betas, "betas")
        except InputError:
            continue  # reported when each run is checked
    return None


def _check_run(
    run: Run, reference: Maps | None, n_trials: int | None, used: Columns | None
) -> str | None:
    """Check a run's betas; return what is worth knowing of them.

    used: the columns that are z-scored one by one; None if all of the cortex is read.
    """
    maps = open_scalars(run.betas, "betas")
    note = None if reference is None else check_betas(maps, reference, n_trials, used)
    if used is not None:
        check_variance(maps, used)
    return note


def _select(files: NodFiles, betas: Maps, top: int, findings: Findings) -> dict[str, Kept]:
    """Select vertices; add a problem to findings and return none if that fails."""
    r2 = findings.attempt(read_prf_r2, files.prf, betas)
    regions = findings.attempt(_read_regions, files, betas)
    if r2 is None or regions is None:
        return {}
    return findings.attempt(keep_best, betas, r2, regions, top) or {}


def _read_regions(files: NodFiles, betas: Maps) -> Regions:
    known = [betas.grayordinates]
    with suppress(InputError):  # reported when R² is read
        known.append(open_scalars(files.prf, "pRF parameters").grayordinates)
    return read_atlas(files.atlas, known)


def check_distinct(results: Path, runs: Sequence[tuple[Run, Sequence[str] | None]]) -> None:
    """Raise InputError naming the images that are shown more than once, and their runs."""
    shown: dict[str, list[str]] = {}
    for run, names in runs:
        for name in names or ():
            shown.setdefault(stimulus_of(name), []).append(run.name)
    lines = [
        f"{results}: image {stimulus} is shown {len(where)} times, in {', '.join(where)}; expected "
        "once: correct the label files, or leave a session out of --sessions"
        for stimulus, where in shown.items()
        if len(where) > 1
    ]
    if lines:
        raise InputError(*lines)


def _describe(half: Kept) -> Hemisphere:
    return Hemisphere(
        n_vertices=len(half.columns),
        regions=half.regions,
        fsaverage=None,  # fsLR is another mesh
        noise_ceiling=None,
        coordinates={"grayordinate": half.columns, "fslr": half.vertices, "prf_r2": half.r2},
    )
