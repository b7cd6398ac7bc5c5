"""Checks of all trials before the first one runs: what can be known then is not found later.

Problems of a kind are one line, with their number and three examples. Nothing is downloaded.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from orchestrator.cli.errors import InputError
from orchestrator.cli.text import n_bytes
from orchestrator.execution.cost import Costs
from trainables.compute.memory import memory_limit
from trainables.data.shards import Manifest
from trainables.encoding.split_sizes import shortage
from trainables.models.backbone_facts import count_features, has_weights, require_tunable
from trainables.spec import Backbone, Encoding, Roi, Trial, Untuned
from trainables.spec.evaluation import WorkItem
from trainables.wording import EXAMPLES, similar

MOST_MEMORY: Final = 64 * 2**40
"""Bytes of memory that no node of a cluster has."""

Problem = tuple[str, str]
"""A kind of problem, and one case of it."""


def refuse(problems: Iterable[Problem]) -> None:
    """Raise InputError with one line per kind of problem, if there are any."""
    kinds: dict[str, list[str]] = {}
    for kind, case in problems:
        kinds.setdefault(kind, []).append(case)
    if kinds:
        raise InputError(*(_line(kind, cases) for kind, cases in kinds.items()))


def _line(kind: str, cases: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(cases))
    if len(distinct) == 1:
        return f"{kind}: {distinct[0]}"
    return f"{kind}: {len(cases):,} cases, such as {'; '.join(distinct[:EXAMPLES])}"


def check_rois(trials: Sequence[Trial], known: Sequence[Roi]) -> None:
    """Raise InputError unless the data holds every ROI of the trials, as they describe it."""
    by_id = {roi.id: roi for roi in known}
    refuse(
        (kind, case)
        for trial in trials
        for roi in trial.rois
        for kind, case in _roi_problem(roi, by_id)
    )


def _roi_problem(roi: Roi, known: dict[str, Roi]) -> Iterator[Problem]:
    found = known.get(roi.id)
    if found is None:
        found_id = similar(roi.id, known)
        hint = f" (did you mean {found_id}?)" if found_id else ""
        yield "the search space has trials on ROIs that the data does not hold", roi.id + hint
    elif found != roi:
        yield (
            "the search space describes ROIs unlike the data (use the ROIs that it is given)",
            f"{roi.id} of {roi.n_vertices:,} vertices and data {roi.data!r}, the data has "
            f"{found.n_vertices:,} and {found.data!r}",
        )


def check_backbones(trials: Sequence[Trial], weights: Path | None, costs: Costs) -> list[str]:
    """Check weights, layers and tuned parts of backbones; return notes on missing downloads.

    Raises ValueError for weights that do not fit or are not finite, and for layers that a backbone
    does not have. Published weights that are not on this machine are not downloaded.
    """
    notes = []
    for backbone in sorted({one.backbone for one in trials}, key=lambda one: str(one)):
        if (note := check_weights(backbone, weights)) is not None:
            notes.append(note)
    sizes = {shard: manifest.image_size for shard, manifest in costs.manifests.items()}
    layers = {
        (one.backbone, one.encoding.layers, one.backbone.seen_size_in(sizes[shard]))
        for one in trials
        if one.encoding is not None
        for shard in one.shards
    }
    for backbone, names, image_size in sorted(layers, key=str):
        count_features(backbone, names, image_size)
    tuned = {
        (one.backbone, one.objective.tune, one.backbone.seen_size_in(sizes[shard]))
        for one in trials
        if not isinstance(one.objective, Untuned)
        for shard in one.shards
    }
    for backbone, tune, image_size in sorted(tuned, key=str):
        require_tunable(backbone, tune, image_size)
    return notes


def check_weights(backbone: Backbone, weights: Path | None) -> str | None:
    """Check a backbone's weights, and return a note if workers have yet to download them."""
    if has_weights(backbone, weights):
        return None
    from trainables.models.backbones import download_megabytes

    size = download_megabytes(backbone)
    return (
        f"{backbone.architecture}: its weights {backbone.weights} are not on this machine; they "
        f"are downloaded when the first trial starts" + (f" ({size:,.0f} MB)" if size else "")
    )


def fetch_weights(
    work_items: Iterable[WorkItem], weights: Path | None, *, on_cluster: bool
) -> None:
    """Download weights before the first trial, if the trials run on this machine.

    Raises ValueError if one can't be downloaded. On a cluster, the workers download them.
    """
    if on_cluster:
        return
    for backbone in {one.backbone for one in work_items if isinstance(one, Trial)}:
        if not has_weights(backbone, weights):
            from trainables.models.backbones import load

            load(backbone, weights)


def check_trials(work_items: Sequence[WorkItem], costs: Costs, *, on_cluster: bool) -> None:
    """Raise InputError if subjects have too few images, or if trials fit no memory.

    on_cluster: whether nodes may have more memory than this machine.
    """
    memory = MOST_MEMORY if on_cluster else memory_limit()
    refuse(
        problem
        for one in work_items
        for problem in (
            *_size_problems(one, costs),
            *_image_problems(one, costs),
            *_memory_problems(one, costs, memory),
        )
    )


def _size_problems(work_item: WorkItem, costs: Costs) -> Iterator[Problem]:
    """Yield the subjects that lack images of the size that a backbone takes."""
    size = work_item.backbone.image_size
    for shard in work_item.shards:
        stored = costs.manifests[shard].image_sizes
        if size is not None and size not in stored:
            sizes = ",".join(map(str, (*stored, size)))
            yield (
                f"the data lacks images of a size that backbones take (ingest again with "
                f"--image-size {sizes})",
                f"{work_item.backbone.architecture} takes {size} pixels, {shard} has "
                f"{', '.join(map(str, stored))}",
            )


def _image_problems(work_item: WorkItem, costs: Costs) -> Iterator[Problem]:
    """Yield the folds, tests and trainings for which a subject has too few images."""
    for shard in work_item.shards:
        manifest = costs.manifests[shard]
        if work_item.encoding is not None:
            yield from _fold_problems(work_item.encoding, manifest, shard)
        yield from _training_problem(work_item, manifest, shard)


def _fold_problems(encoding: Encoding, manifest: Manifest, shard: str) -> Iterator[Problem]:
    counts = (manifest.n_images, manifest.n_train, manifest.n_test)
    for protocol in encoding.protocols:
        if short := shortage(protocol, encoding.n_folds, *counts):
            yield (
                f"too few images for the protocol {protocol!r} (ingest more, or use fewer folds "
                "or another protocol)",
                f"{shard} has {short}",
            )


def _training_problem(work_item: WorkItem, manifest: Manifest, shard: str) -> Iterator[Problem]:
    if not isinstance(work_item, Trial) or isinstance(work_item.objective, Untuned):
        return
    held_back = int(work_item.objective.validation * manifest.n_train)
    if manifest.n_train - held_back < 2:
        left = f"{manifest.n_train} training images, {held_back} of them held back"
        yield "fine-tuning needs at least 2 training images", f"{shard} has {left}"


def _memory_problems(work_item: WorkItem, costs: Costs, memory: int) -> Iterator[Problem]:
    least = costs.estimate(work_item).least
    if least > memory:
        yield (
            f"trials need more memory than there is ({n_bytes(memory)})",
            f"{work_item.id} needs {n_bytes(least)} for its weights and matrices",
        )
