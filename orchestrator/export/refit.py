"""Fit the final readouts of a trial's ROIs again, and compare them with the sweep's scores."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from orchestrator.cli.errors import InputError
from orchestrator.encoding_models.config import Fit
from orchestrator.export.choice import Chosen
from orchestrator.scores.statistics.image_jackknife import MeasuredResponses
from trainables.compute.device import free_bytes
from trainables.compute.numerics import Numerics
from trainables.compute.precision import full_float32, torch_set_for
from trainables.data.data_directory import DataDirectory
from trainables.encoding.features import FeatureStore, Storage, extract
from trainables.encoding.pca import ExactLayer, read_layer
from trainables.encoding.protocols import Split
from trainables.encoding.readout import Projection, Readout
from trainables.encoding.refit import Chunks, FittedPca, correlate_columns, fit_pca, project_rows
from trainables.encoding.working_memory import features_budget
from trainables.models import backbones
from trainables.results.run_directory import RunDirectory
from trainables.spec import CLEAN, Encoding, Trial, Untuned
from trainables.spec.evaluation import WorkItem, training_of
from trainables.training.checkpoints import load_network
from trainables.worker.context import numerics_of
from trainables.worker.score_subject import FEATURE_BATCH
from trainables.worker.subject_cache import CachedSubject, SubjectCache

AGREEMENT: Final = 1e-4
"""Largest difference in a vertex's r between the sweep and the model that is exported."""
HALF_CHANGE: Final = 1e-4
"""Half precision is used where it changes the r of every vertex by less."""

Values = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Sources:
    """Where backbones and data come from."""

    runs: RunDirectory
    data: DataDirectory
    weights: Path | None
    """The state dict that untuned backbones are read from, if their weights are a file's."""
    device: torch.device
    scratch: Path
    """Directory for images and features that do not fit the device."""


def is_untuned(work_item: WorkItem) -> bool:
    """Return whether a trial's backbone is the one that the sweep started from."""
    return isinstance(work_item, Trial) and isinstance(work_item.objective, Untuned)


def check_weights(chosen: Iterable[Chosen], weights: Path | None) -> None:
    """Raise InputError unless the files of all untuned backbones' weights are the given one.

    Weights that torchvision downloads are checked when they are loaded.
    """
    untuned = {training_of(one.work_item).backbone for one in chosen if is_untuned(one.work_item)}
    for backbone in untuned:
        try:
            backbones.file_of(backbone, weights)
        except ValueError as error:
            raise InputError(f"untuned {backbone.architecture}: {error}") from error


def load_backbone(sources: Sources, chosen: Chosen) -> nn.Module:
    """Load the backbone that was scored, on the CPU: fine-tuned, or as the sweep started.

    Raises ValueError for a checkpoint or weights that are missing, damaged or others.
    """
    work_item = chosen.work_item
    trial = training_of(work_item)
    if is_untuned(work_item):
        return backbones.load(trial.backbone, sources.weights)
    checkpoint = sources.runs.checkpoints(work_item.training_id)
    return load_network(checkpoint, trial.backbone)


@dataclass(frozen=True)
class FittedModel:
    """The final readout of a trial's ROI, on the CPU."""

    chosen: Chosen
    projection: Projection
    readout: Readout
    n_fitted: int
    n_trials: int | None
    """Single trials of the fitted images; None where each image counts once."""
    difference: float
    """Largest difference of a vertex's r from the sweep's, by the fit to the training images."""
    interval: tuple[float, float] | None
    """95 % interval of the mean r over test images; None without an r."""
    half_change: float
    """Largest change in a vertex's r by half precision."""


@dataclass(frozen=True)
class FittedWork:
    """A backbone, and the final readouts of one subject's ROIs on it."""

    network: nn.Module
    subject: CachedSubject
    models: tuple[FittedModel, ...]


class Refitter:
    """Fits the readouts of one trial after another; a subject's images are read once."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._subjects = SubjectCache(sources.data, sources.device, None, sources.scratch)

    def fit(self, group: Sequence[Chosen], fit: Fit) -> FittedWork:
        """Fit the readouts of a trial's ROIs of one subject.

        Raises ValueError for changed data or checkpoints, and where r differs from the sweep's.
        """
        work_item, roi = group[0].work_item, group[0].roi
        numerics = numerics_of(work_item)
        subject = self._subjects.named({roi.shard: roi.data}, work_item.backbone)[roi.shard]
        network = load_backbone(self._sources, group[0]).to(self._sources.device)
        layers = list(dict.fromkeys(one.layer for one in group))
        with (
            torch_set_for(numerics),
            full_float32(),
            self._features(network, layers, subject) as features,
        ):
            fitting = _Fitting(features, subject, numerics, fit, self._sources.device)
            models = [one for layer in layers for one in fitting.of_layer(layer, group)]
        return FittedWork(network.cpu(), subject, tuple(models))

    def _features(
        self, network: nn.Module, layers: Sequence[str], subject: CachedSubject
    ) -> FeatureStore:
        device, n_images = self._sources.device, subject.images.n_images
        on_gpu = device.type == "cuda"
        budget = features_budget(free_bytes(device), n_images, on_gpu=on_gpu)
        storage = Storage(device, budget, self._sources.scratch)
        batches = subject.images.batches(torch.arange(n_images), FEATURE_BATCH[device.type])
        return extract(network, layers, batches, n_images, storage)


@dataclass(frozen=True)
class _Fitting:
    """The features of a backbone on a subject, and how readouts are fitted to them."""

    features: FeatureStore
    subject: CachedSubject
    numerics: Numerics
    fit: Fit
    device: torch.device

    def of_layer(self, layer: str, group: Sequence[Chosen]) -> Iterator[FittedModel]:
        """Fit the readouts of the ROIs that chose a layer; they share its PCA."""
        mine = [one for one in group if one.layer == layer]
        encoding = mine[0].work_item.encoding
        assert encoding is not None  # it has scores
        n_images, n_features = self.subject.images.n_images, self.features.n_features(layer)

        def chunks() -> Iterator[Tensor]:
            return self.features.columns(layer)

        read = read_layer(chunks(), n_features, n_images)
        rows = self._training_rows(mine[0])
        measured = self._fit_pca(read, chunks, rows, encoding)
        final, final_rows = measured, rows
        if self.fit == "all":
            final_rows = torch.arange(n_images)
            final = self._fit_pca(read, chunks, final_rows, encoding)
        components = [self._test_components(pca, chunks) for pca in (measured, final)]
        for one in mine:
            yield self._of_roi(one, (measured, rows), (final, final_rows), components)

    def _fit_pca(
        self, layer: ExactLayer, chunks: Chunks, rows: Tensor, encoding: Encoding
    ) -> FittedPca:
        n_trials = self.subject.subject.n_trials
        weights = None if n_trials is None else torch.from_numpy(n_trials)[rows].double()
        return fit_pca(layer, chunks, rows, encoding.n_components, self.numerics, weights)

    def _training_rows(self, chosen: Chosen) -> Tensor:
        subject = self.subject.subject
        split = Split(subject.train_rows, subject.test_rows, subject.manifest.n_images)
        return torch.from_numpy(split.clean if chosen.protocol == CLEAN else split.train)

    def _test_components(self, pca: FittedPca, chunks: Chunks) -> tuple[Tensor, Tensor]:
        """Compute the components of the test images, in single and by a basis in half precision."""
        rows = torch.from_numpy(self.subject.subject.test_rows)
        halved = Projection(pca.projection.mean, pca.projection.basis.half().float())
        single, half = (project_rows(one, chunks(), rows) for one in (pca.projection, halved))
        return single, half

    def _of_roi(
        self,
        chosen: Chosen,
        measured: tuple[FittedPca, Tensor],
        final: tuple[FittedPca, Tensor],
        components: Sequence[tuple[Tensor, Tensor]],
    ) -> FittedModel:
        responses = self.subject.subject.responses[chosen.roi.hemisphere][:, chosen.vertex]
        Y, alphas = (torch.from_numpy(v).to(self.device) for v in (responses, chosen.alpha))
        readouts = [
            pca.fit_readout(Y[rows.to(Y.device)], alphas) for pca, rows in (measured, final)
        ]
        test = responses[self.subject.subject.test_rows]
        predicted = readouts[0].predict_deviations(components[0][0]).cpu().numpy()
        difference = _check(chosen, correlate_columns(test, predicted))
        cpu = torch.device("cpu")
        return FittedModel(
            chosen,
            final[0].projection.to(cpu),
            readouts[1].to(cpu),
            len(final[1]),
            None if final[0].weights is None else int(final[0].weights.sum()),
            difference,
            _interval(test, predicted, ~np.isnan(chosen.r)),
            _half_change(test, readouts[1], components[1]),
        )


def _check(chosen: Chosen, r: Values) -> float:
    """Compare r with the sweep's; return the largest difference over vertices.

    r: of predicted deviations from the mean response, as the sweep's is. Where alpha is far above
    the variances of the components they are small, and adding the mean would round them in float32:
    r would change by more than AGREEMENT, or the prediction would be constant.
    Raises ValueError where the difference is larger than AGREEMENT.
    """
    known = ~np.isnan(chosen.r)
    differences = np.abs(r[known] - chosen.r[known])
    difference = float(differences.max()) if len(differences) else 0.0
    if not difference <= AGREEMENT:  # also NaN
        raise ValueError(
            f"{chosen.roi.id} of {chosen.work_item.id}: the fitted model's r differs from its "
            f"scores by {difference:.2g}, expected at most {AGREEMENT:g}; the scores are of "
            "another version or device: remove them, and run the sweep again"
        )
    return difference


def _interval(test: Values, predicted: Values, known: Any) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean r over test images, by a jackknife.

    predicted: (n_test, n_vertices), up to a constant per vertex.
    """
    from scipy.special import stdtrit  # only needed here

    if not known.any():
        return None
    mean, effects = MeasuredResponses(test).mean_r(predicted, known)
    half = float(stdtrit(len(test) - 1, 0.975) * np.sqrt(np.square(effects).sum()))
    return mean - half, mean + half


def _half_change(test: Values, readout: Readout, components: tuple[Tensor, Tensor]) -> float:
    """Return the largest change in a vertex's r by half precision of basis and coefficients."""
    halved = replace(readout, coefficients=readout.coefficients.half().float())
    single, half = (
        correlate_columns(test, one.predict_deviations(part).cpu().numpy())
        for one, part in zip((readout, halved), components, strict=True)
    )
    known = ~np.isnan(single)
    changes = np.abs(single[known] - half[known])
    return float(changes.max()) if len(changes) else 0.0
