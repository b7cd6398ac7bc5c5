"""Estimate a trial's cost before it runs: seconds from operation counts, bytes from sizes.

The backbone's operations are counted exactly; the rates are round figures for one CPU core and one
large GPU, corrected by the measured durations of the same sweep's finished trials.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Final, Self

from trainables.compute.memory import memory_limit
from trainables.compute.numerics import Numerics, is_truncated
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import Manifest
from trainables.encoding.split_sizes import REFITTED, count_clean
from trainables.encoding.working_memory import (
    FEATURE_BYTES,
    MATRICES,
    features_budget,
    matrix_bytes,
)
from trainables.models.backbone_facts import BackboneSize, count_features, size_of
from trainables.models.widths import head_widths, pooled_widths
from trainables.results.outcome import Outcome
from trainables.spec import (
    CLEAN,
    Contrastive,
    Encoding,
    Pooled,
    Roi,
    SelfSupervised,
    Trial,
    Untuned,
)
from trainables.spec.evaluation import WorkItem
from trainables.spec.tune import ALL
from trainables.worker.context import numerics_of

CORE_FLOPS: Final = 8e10
"""Effective float32 operations per second of one CPU core in a convolutional network."""
GPU_FLOPS: Final = 1.5e13
"""Effective operations per second of one large GPU, in full float32."""
EIGEN_FLOPS: Final = 10.0
"""Operations of a symmetric eigendecomposition, divided by n³."""
TRUNCATED_FLOPS: Final = 25.0
"""Operations of a truncated eigendecomposition of k components, divided by n² k: its measured time
in operations of a CPU core."""
GIB: Final = 2**30


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of one trial or evaluation on one worker."""

    seconds: float
    bytes: int
    """Peak memory, on a CPU host or on the GPU, with the features where they stay in memory."""
    least: int = 0
    """Memory that it needs even if images and features are streamed: weights, and matrices of
    images by images."""
    training: float = 0.0
    """Seconds of the fine-tuning, which are among the others."""


@dataclass(frozen=True)
class Costs:
    """Estimates the costs of trials on one data directory."""

    manifests: dict[str, Manifest]
    flops_per_second: float = CORE_FLOPS
    scale: float = 1.0
    """Ratio of measured to estimated seconds, the median over finished trials."""
    workers: int = 1
    """Workers that share the fine-tuning of a trial."""
    threads: int = 1
    """CPUs of each worker."""
    host_memory: int | None = None
    """Bytes of a host's memory, which decides whether features stay in it; None: on a GPU."""
    _known: dict[str, Estimate] = field(default_factory=dict, compare=False)

    @classmethod
    def read(cls, data: DataDirectory, *, gpus: bool, threads: int = 1, workers: int = 1) -> Self:
        """Read the sizes of a data directory's subjects."""
        manifests = {shard.name: Manifest.read(shard) for shard in data.shards()}
        rate = GPU_FLOPS if gpus else CORE_FLOPS * threads
        memory = None if gpus else memory_limit()
        return cls(manifests, rate, workers=workers, threads=threads, host_memory=memory)

    def calibrated(self, outcomes: Iterable[Outcome]) -> "Costs":
        """Return the same costs, corrected by the measured durations of finished trials."""
        ratios = [
            sum(outcome.seconds.values()) / self.estimate(outcome.trial).seconds
            for outcome in outcomes
            if outcome.status == "finished" and set(outcome.trial.shards) <= set(self.manifests)
        ]
        scale = median(ratios) if ratios else 1.0
        return replace(self, scale=self.scale * scale, _known={})

    def estimate(self, work_item: WorkItem) -> Estimate:
        """Estimate a trial's or an evaluation's seconds and bytes."""
        if work_item.id not in self._known:
            self._known[work_item.id] = self._estimate(_like_trial(work_item))
        return self._known[work_item.id]

    def _estimate(self, trial: Trial) -> Estimate:
        manifests = [self.manifests[shard] for shard in trial.shards]
        size = size_of(trial.backbone, trial.backbone.seen_size_in(manifests[0].image_size))
        head = head_weights(trial)
        # Training keeps weights, gradients and Adam's two moments; encoding, features and matrices.
        flops, training_flops, training = 0.0, 0.0, 4 * (size.parameter_bytes + 4 * head)
        held = encoding = matrices = 0
        for manifest in manifests:
            rois = [roi for roi in trial.rois if roi.subject == manifest.subject]
            if trial.encoding is not None:
                flops += manifest.n_images * size.flops
                flops += _encoding_flops(trial.encoding, rois, manifest, numerics_of(trial))
                matrices = max(matrices, matrix_bytes(manifest.n_images))
                features = self._kept_features(trial, trial.encoding, manifest)
                encoding = max(encoding, matrix_bytes(manifest.n_images) + features)
            training_flops += self._training_flops(trial, size, head, manifest)
            held += manifest.n_images * 3 * trial.backbone.image_size_in(manifest.image_size) ** 2
            held += 4 * manifest.n_images * sum(manifest.n_vertices.values())
            held += _trial_bytes(trial, manifest)
        batch = min(getattr(trial.objective, "batch_size", 128), max(m.n_train for m in manifests))
        batch *= _views(trial)
        training += 2 * -(-batch // self.workers) * size.activation_bytes
        a_flop = self.scale / self.flops_per_second
        seconds = a_flop * (flops + training_flops)
        least = max(_least_training(trial, size, head), matrices // MATRICES)
        n_bytes = held + max(training, size.parameter_bytes + encoding)
        return Estimate(seconds, n_bytes, least, a_flop * training_flops)

    def _kept_features(self, trial: Trial, encoding: Encoding, manifest: Manifest) -> int:
        """Count the bytes of the features that stay in memory: all of them, or none."""
        image_size = trial.backbone.seen_size_in(manifest.image_size)
        count = count_features(trial.backbone, encoding.layers, image_size)
        n_bytes = FEATURE_BYTES * manifest.n_images * count
        memory = self.host_memory
        is_kept = memory is None or n_bytes <= features_budget(memory, 0, on_gpu=False)
        return n_bytes if is_kept else 0

    def _training_flops(
        self, trial: Trial, size: BackboneSize, head: int, manifest: Manifest
    ) -> float:
        """Count the operations of fine-tuning on one subject, for one of the workers."""
        if isinstance(trial.objective, Untuned):
            return 0.0
        # The backward pass costs twice the forward pass; the head processes image and response.
        an_image = 3 * (size.flops + 4.0 * head)
        n_images = _views(trial) * manifest.n_train
        return an_image * n_images * trial.objective.epochs / self.workers


def _trial_bytes(trial: Trial, manifest: Manifest) -> int:
    """Count the bytes of the single trials of a subject that a training holds."""
    if isinstance(trial.objective, Untuned) or trial.is_of_subject or manifest.n_trials is None:
        return 0
    rois = [roi for roi in trial.trained_rois if roi.subject == manifest.subject]
    return 4 * manifest.n_trials * sum(roi.n_vertices for roi in rois)


def _views(trial: Trial) -> int:
    """Count the inputs that a training makes of an image."""
    return 2 if isinstance(trial.objective, SelfSupervised) else 1


def _least_training(trial: Trial, size: BackboneSize, head: int) -> int:
    """Count the bytes of the weights, and in fine-tuning of gradients and Adam's two moments.

    Where a part of the backbone is tuned, only those of its weights.
    """
    if isinstance(trial.objective, Untuned):
        return size.parameter_bytes
    copies = 4 if trial.objective.tune == ALL else 1
    return copies * size.parameter_bytes + 4 * 4 * head


def _like_trial(work_item: WorkItem) -> Trial:
    """Return a trial of equal cost: an evaluation is one pass over images and the encoding."""
    if isinstance(work_item, Trial):
        return work_item
    deterministic = work_item.model.deterministic
    return Trial(
        Untuned(),
        work_item.rois,
        work_item.backbone,
        work_item.encoding,
        deterministic=deterministic,
    )


def head_weights(trial: Trial) -> int:
    """Count the weights of a contrastive head's three maps; 0 for other trials."""
    n_vertices = [roi.n_vertices for roi in trial.trained_rois]
    if isinstance(trial.objective, Pooled):
        hidden, embedding = pooled_widths(trial.objective, n_vertices)
    elif isinstance(trial.objective, Contrastive):
        hidden, embedding = head_widths(trial.objective, n_vertices[0])
    elif isinstance(trial.objective, SelfSupervised):
        hidden, embedding = trial.objective.hidden_dim, trial.objective.embedding_dim
    else:
        return 0
    return hidden * (2 * hidden + embedding)


def _encoding_flops(
    settings: Encoding, rois: Iterable[Roi], manifest: Manifest, numerics: Numerics
) -> float:
    """Count operations of the eigendecompositions and of products with all vertices' responses.

    A vertex of several ROIs is scored once, so no more are counted than the subject has.
    """
    total = 0.0
    n_vertices = min(sum(roi.n_vertices for roi in rois), sum(manifest.n_vertices.values()))
    for protocol in settings.protocols:
        n = manifest.n_test if protocol == "paper" else manifest.n_train
        n = count_clean(n) if protocol == CLEAN else n
        fold = n * (1 - 1 / settings.n_folds)
        fits = settings.n_folds * _factorisation_flops(fold, settings.n_components, numerics)
        if protocol in REFITTED:
            fits += _factorisation_flops(n, settings.n_components, numerics)
        products = 2.0 * n * min(n, settings.n_components) * n_vertices * len(settings.alphas)
        total += len(settings.layers) * (fits + products)
    return total


def _factorisation_flops(n: float, k: int, numerics: Numerics) -> float:
    if is_truncated(int(n), k, numerics):
        return TRUNCATED_FLOPS * n**2 * k
    return EIGEN_FLOPS * n**3
