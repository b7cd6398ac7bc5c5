"""Give each trial's backbone the size of the stored images that serves it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from trainables.data.shards import Manifest
from trainables.models.image_choice import choose_images, published_images
from trainables.spec import Backbone, Trial
from trainables.spec.evaluation import Evaluation, with_rois_of


def with_images(trials: Iterable[Trial], manifests: Mapping[str, Manifest]) -> list[Trial]:
    """Return trials with the size and crop of their images, without duplicates.

    Trials on ROIs that the data does not hold are left as they are. Raises ValueError naming the
    cure where no stored size serves a backbone.
    """
    known: dict[tuple[Backbone, tuple[str, ...]], Backbone] = {}
    merged: dict[str, Trial] = {}
    for trial in trials:
        key = (trial.backbone, trial.shards)
        if key not in known:
            held = [manifests[shard] for shard in trial.shards if shard in manifests]
            known[key] = chosen_for(trial.backbone, held)
        chosen = replace(trial, backbone=known[key])
        merged[chosen.id] = with_rois_of(merged.get(chosen.id, chosen), chosen)
    return list(merged.values())


def chosen_for(backbone: Backbone, manifests: Sequence[Manifest]) -> Backbone:
    """Return a backbone with the images that serve it, of sizes that all subjects have.

    The size is named where the subjects' rows differ in it. Raises ValueError naming the cure where
    the subjects have no size in common, or where none serves the backbone.
    """
    if not manifests:
        return backbone
    first = manifests[0]
    common = [
        size for size in first.image_sizes if all(size in one.image_sizes for one in manifests)
    ]
    if not common:
        raise ValueError(_without_common_size(manifests))
    chosen = choose_images(backbone, common, first.image_size)
    if all(one.image_size == first.image_size for one in manifests):
        return chosen
    return replace(chosen, image_size=chosen.image_size_in(first.image_size))


def _without_common_size(manifests: Sequence[Manifest]) -> str:
    listed = "; ".join(
        f"{one.dataset}-{one.subject} has {', '.join(map(str, one.image_sizes))}"
        for one in manifests
    )
    sizes = ",".join(map(str, dict.fromkeys(size for one in manifests for size in one.image_sizes)))
    return (
        f"expected a size of images that all subjects of a trial have, found {listed}; ingest "
        f"again with --image-size {sizes}"
    )


def as_tuned(
    evaluations: Iterable[Evaluation], manifests: Mapping[str, Manifest]
) -> list[Evaluation]:
    """Return evaluations with the size of images that their backbones were fine-tuned on.

    The size is named where the rows of the scored subject have another one.
    """
    return [_as_tuned(one, manifests) for one in evaluations]


def _as_tuned(evaluation: Evaluation, manifests: Mapping[str, Manifest]) -> Evaluation:
    own, target = evaluation.model.shards[0], evaluation.shards[0]
    size = evaluation.model.backbone.image_size_in(manifests[own].image_size)
    if evaluation.backbone.image_size_in(manifests[target].image_size) == size:
        return evaluation
    return replace(evaluation, image_size=size)


def interpolation_notes(trials: Iterable[Trial], manifests: Mapping[str, Manifest]) -> list[str]:
    """Say which backbones were published for images that were resized in another way."""
    pairs = {
        (trial.backbone, manifests[shard].interpolation)
        for trial in trials
        for shard in trial.shards
    }
    notes = {}
    for backbone, stored in sorted(pairs, key=str):
        config = published_images(backbone)
        if config is not None and config.interpolation != stored:
            notes[backbone.architecture, stored] = (
                f"{backbone.architecture}: published for {config.interpolation} images, the data's "
                f"are {stored} (ingest --interpolation {config.interpolation} stores such)"
            )
    return list(notes.values())
