"""The pairs of fine-tuned model and ROI to evaluate, and their training-image overlap."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import number_meant, subject_number
from orchestrator.cli.text import count
from orchestrator.execution.plan import Plan
from trainables.data.data_directory import DataDirectory
from trainables.data.stimuli import KnownStimuli
from trainables.results.outcome import read_finished
from trainables.results.run_directory import RunDirectory
from trainables.spec import Pooled, Roi, Trial, Untuned
from trainables.spec.evaluation import Evaluation, WorkItem, serves, with_rois_of
from trainables.spec.setting import is_named
from trainables.storage.threads import map_reads
from trainables.training.checkpoint_notes import has_weights
from trainables.wording import some

NOD: Final = "nod"

Pairing = Callable[[Trial, Roi], bool]
"""Returns whether a model is evaluated on an ROI."""


@dataclass(frozen=True)
class Models:
    """The fine-tuned trials of a sweep whose backbones can be evaluated."""

    trials: tuple[Trial, ...]
    n_without_data: int
    """Number of further models left out because the data they were fine-tuned on is missing."""


@dataclass(frozen=True)
class Choice:
    """The selection of models to evaluate; None and empty names mean all."""

    methods: tuple[str, ...] | None = None
    subjects: tuple[int, ...] | None = None
    """Numbers of the subjects that must include all that a model was fine-tuned on."""
    names: tuple[str, ...] = ()
    """Ids, prefixes of ids, or the 8 hex digits of settings."""


def find_models(runs: RunDirectory, rois: Sequence[Roi]) -> Models:
    """Find the finished fine-tuned trials of a sweep; raise InputError if there are none.

    rois: all ROIs of the data directory. A model that was fine-tuned on other data is left out,
    because its training images are unknown.
    """
    found = [outcome.trial for outcome in read_finished(runs) if _is_finetuned(outcome.trial)]
    trials = [trial for trial in found if isinstance(trial, Trial)]
    known = set(rois)
    usable = tuple(trial for trial in trials if known.issuperset(trial.rois))
    if not trials:
        raise InputError(
            f"{runs}: has no finished fine-tuned trial; run python -m orchestrator.sweep SPACE "
            f"--data DATA --out {runs}, or give --out the directory of a sweep"
        )
    if not usable:
        raise InputError(
            f"{runs}: none of its {len(trials)} fine-tuned trials was fine-tuned on the given "
            "data; give --data the directory that the sweep ran on"
        )
    return Models(usable, len(trials) - len(usable))


def _is_finetuned(work_item: WorkItem) -> bool:
    """Return whether a work item is a trial fine-tuned on its ROIs, with scores.

    A search's have none. Controls that are not tuned on their ROIs' responses are no models of
    them.
    """
    return (
        isinstance(work_item, Trial) and work_item.is_of_own_rois and work_item.encoding is not None
    )


def choose(models: Sequence[Trial], choice: Choice) -> list[Trial]:
    """Return the selected models; raise InputError listing what exists if none is left."""
    for name in choice.names:
        if not any(is_named(model, name) for model in models):
            raise InputError(
                f"--models {name}: no such model; there are {some(sorted(m.id for m in models))}"
            )
    kept = [m for m in models if not choice.names or any(is_named(m, n) for n in choice.names)]
    if choice.methods is not None:
        present = sorted({model.method for model in kept})
        kept = [model for model in kept if model.method in choice.methods]
        if not kept:
            raise InputError(
                f"no finished {' or '.join(choice.methods)} trial among the models, which are "
                f"{', '.join(present)}; run the sweep first, or name others by --methods"
            )
    if choice.subjects is not None:
        subjects = sorted({roi.subject for model in kept for roi in model.rois})
        kept = [model for model in kept if _numbers(model) <= set(choice.subjects)]
        if not kept:
            raise InputError(
                f"--model-subjects {','.join(map(str, choice.subjects))}: no model is fine-tuned "
                f"on only these; there are models of {', '.join(subjects)}"
                f"{number_meant(choice.subjects[0], subjects)}"
            )
    return kept


def _numbers(model: Trial) -> set[int | None]:
    return {subject_number(roi.subject) for roi in model.rois}


def is_transfer(model: Trial, roi: Roi) -> bool:
    """Return whether an ROI is the same as a model's, in another subject's same hemisphere."""
    own = model.rois[0]
    same = len(model.rois) == 1 and own.dataset == roi.dataset and own.subject != roi.subject
    return same and serves(own, roi)


def is_onto_nod(model: Trial, roi: Roi) -> bool:
    """Return whether an NSD model's ROI corresponds to a NOD ROI, in the same hemisphere."""
    own = model.rois[0]
    return roi.dataset == NOD and own.dataset != NOD and serves(own, roi)


def is_pooled(model: Trial, roi: Roi) -> bool:
    """Return whether an ROI is the same as a pooled model's, in a subject of its data set."""
    own = model.rois[0]
    pooled = isinstance(model.objective, Pooled)
    return pooled and own.dataset == roi.dataset and serves(own, roi)


def is_any(model: Trial, roi: Roi) -> bool:
    """Return True: every model is evaluated on every ROI."""
    return True


def evaluations(
    models: Iterable[Trial], rois: Sequence[Roi], pairing: Pairing, *, exclude_training_images: bool
) -> list[Evaluation]:
    """List the evaluations: one per model and subject, with all the subject's ROIs.

    ROIs that a model was fine-tuned on are left out, because its trial scores them. With
    exclude_training_images those of a pooled model are kept, because its trial does not exclude
    the other subjects' training images.
    """
    listed = []
    for model in models:
        by_shard: dict[str, list[Roi]] = {}
        own = (
            set()
            if exclude_training_images and isinstance(model.objective, Pooled)
            else set(model.rois)
        )
        for roi in rois:
            if roi not in own and pairing(model, roi):
                by_shard.setdefault(roi.shard, []).append(roi)
        listed += [
            Evaluation(model, tuple(each), exclude_training_images) for each in by_shard.values()
        ]
    return listed


def baselines(evaluated: Iterable[Evaluation]) -> list[Trial]:
    """List the untuned trials to compare evaluations with, on the same backbones and ROIs."""
    merged: dict[str, Trial] = {}
    for one in evaluated:
        trial = Trial(Untuned(), one.rois, one.backbone, one.encoding)
        known = merged.get(trial.id, trial)
        merged[trial.id] = with_rois_of(known, trial)
    return list(merged.values())


def with_weights(plan: Plan, runs: RunDirectory) -> Plan:
    """Leave out the waiting evaluations of models whose weights were not kept, with a note.

    Raises InputError if no evaluation is left.
    """
    waiting = [one for one in plan.waiting if isinstance(one, Evaluation)]
    names = sorted({one.training_id for one in waiting})
    there = map_reads(lambda name: has_weights(runs.checkpoints(name)), names)
    missing = {name for name, is_there in zip(names, there, strict=True) if not is_there}
    if not missing:
        return plan
    left_out = {one.id for one in waiting if one.training_id in missing}
    trials = tuple(one for one in plan.trials if one.id not in left_out)
    reason = f"{runs.all_checkpoints} has no weights (swept with --keep none?)"
    if not any(isinstance(one, Evaluation) for one in trials):
        raise InputError(
            f"nothing to evaluate: chosen {count(len(missing), 'model')}, and {reason}"
        )
    note = f"left out: {count(len(missing), 'model')}, as {reason}"
    kept = tuple(one for one in plan.waiting if one.id not in left_out)
    return replace(plan, trials=trials, waiting=kept, notes=(*plan.notes, note))


def pair_notes(plan: Plan, models: Models, data: DataDirectory) -> tuple[str, ...]:
    """Describe a plan's pairs: how many there are, are done, and have overlapping test images."""
    evaluated = [work_item for work_item in plan.trials if isinstance(work_item, Evaluation)]
    pairs = [(work_item, roi) for work_item in evaluated for roi in work_item.rois]
    n_left = sum(len(one.rois) for one in plan.waiting if isinstance(one, Evaluation))
    notes = [f"{len(pairs)} pairs of a model and an ROI: {len(pairs) - n_left} done"]
    notes += _overlap_notes(pairs, KnownStimuli(data))
    if models.n_without_data:
        notes.append(
            f"left out: {count(models.n_without_data, 'model')}, as the data of the fine-tuning is "
            f"not in {data}, so that training images are unknown"
        )
    return tuple(notes)


def _overlap_notes(pairs: Sequence[tuple[Evaluation, Roi]], known: KnownStimuli) -> list[str]:
    counts = []
    for work_item, roi in pairs:
        n_test = len(known.of(roi).test)
        counts.append((known.overlap(work_item.model, roi).n_test, n_test))
    overlapping = [(n_overlap, n_test) for n_overlap, n_test in counts if n_overlap]
    if not overlapping:
        return ["no model was trained on a test image of the subjects that it is scored on"]
    most, of_those = max(overlapping, key=lambda pair: pair[0] / pair[1])
    dropped = any(work_item.exclude_training_images for work_item, _ in pairs)
    cure = "r leaves these out" if dropped else "--exclude-training-images scores without them"
    return [
        f"{len(overlapping)} of {len(pairs)} pairs have test images that the model was trained on, "
        f"at most {most} of {of_those}; {cure}"
    ]
