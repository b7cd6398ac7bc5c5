"""Give each trial's backbone the size of the stored images that serves it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from trainables.data.shards import Manifest
from trainables.models.image_choice import choose_images, published_images
from trainables.spec import Backbone, Trial
from trainables.spec.evaluation import with_rois_of


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
    """Return a backbone with the images that serve it, of sizes that all subjects have."""
    if not manifests:
        return backbone
    first = manifests[0]
    common = [
        size for size in first.image_sizes if all(size in one.image_sizes for one in manifests)
    ]
    if len({one.image_size for one in manifests}) > 1 and not common:
        return backbone
    return choose_images(backbone, common or first.image_sizes, first.image_size)


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
