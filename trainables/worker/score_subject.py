"""Score a network on the images and responses of one subject after another."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import torch

from trainables.compute.device import device_name, free_bytes
from trainables.compute.failures import device_failure
from trainables.data.shards import read_planned_vertices
from trainables.data.stimuli import KnownStimuli, Overlap
from trainables.encoding.features import Storage
from trainables.encoding.protocols import Rows, Split
from trainables.encoding.repeated_passes import read_features
from trainables.encoding.score_rois import RoiScores, Targets, score_rois
from trainables.encoding.split_sizes import MIN_ROWS
from trainables.encoding.working_memory import features_budget
from trainables.exceptions import OutOfMemory
from trainables.results.complete_scores import is_scored
from trainables.results.prediction_files import write_predictions
from trainables.results.score_files import write_scores
from trainables.spec import Encoding, Roi
from trainables.spec.evaluation import Evaluation, WorkItem, training_of
from trainables.worker.context import PreparedTrial, RunContext, numerics_of
from trainables.worker.progress import Clock

_logger = logging.getLogger(__name__)

FEATURE_BATCH: Final = {"cpu": 32, "cuda": 256}
"""Images per batch: larger ones on a CPU exceed the blocks that its allocator reuses."""

SMALLER: Final = 4
"""Divides the images per batch after a first attempt was out of memory."""


@dataclass(frozen=True)
class SubjectScorer:
    """Scores a trial's network subject by subject, and writes scores and predictions."""

    context: RunContext
    device: torch.device
    stimuli: KnownStimuli
    free_memory: Callable[[], object]
    """Frees what other subjects than those being scored take."""

    def score(self, work_item: PreparedTrial, encoding: Encoding, clock: Clock) -> None:
        """Score the trial's ROIs, except those of subjects whose ROIs all have readable scores."""
        runs, trial = self.context.runs, work_item.trial
        for shard, held in work_item.subjects.items():
            rois = [roi for roi in trial.rois if roi.shard == shard]
            if not all(is_scored(runs, trial.id, roi.id) for roi in rois):
                self._score_subject(
                    replace(work_item, subjects={shard: held}), encoding, rois, clock
                )

    def _score_subject(
        self, work_item: PreparedTrial, encoding: Encoding, of_subject: Sequence[Roi], clock: Clock
    ) -> None:
        [held] = work_item.subjects.values()
        trial, subject = work_item.trial, held.subject
        n_images, n_trials = subject.manifest.n_images, subject.n_trials
        full = Split(subject.train_rows, subject.test_rows, n_images, n_trials=n_trials)
        overlap = self.stimuli.overlap(training_of(trial), of_subject[0])
        split = _without_training_images(trial, full, overlap)
        rows, compact = split.compact(encoding.protocols)
        part = _SubjectPart(of_subject, rows, compact)
        scores = self._encode(work_item, encoding, part, clock)
        for roi in of_subject:
            mine = [_counted(one, overlap, (full, split)) for one in scores if one.roi == roi]
            write_predictions(self.context.runs, trial, mine, rows[compact.test])
            write_scores(self.context.runs, trial, mine, is_simulated=subject.manifest.is_simulated)
            _logger.info("%s: scored %s", trial.id, roi.id)

    def _encode(
        self, work_item: PreparedTrial, encoding: Encoding, part: "_SubjectPart", clock: Clock
    ) -> list[RoiScores]:
        """Score ROIs; where memory is short, a second time with less of everything at once.

        Raises OutOfMemory if that does not fit either.
        """
        budget = self.context.feature_budget
        if budget is None:
            is_gpu = self.device.type == "cuda"
            budget = features_budget(free_bytes(self.device), len(part.rows), on_gpu=is_gpu)
        batch = FEATURE_BATCH[self.device.type]
        try:
            return self._encode_once(work_item, encoding, part, clock, (batch, budget))
        except (RuntimeError, MemoryError) as error:
            if device_failure(error) != "out-of-memory":
                raise
        # Only here is the failed attempt's memory free: the error had a reference to it.
        self.free_memory()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        batch //= SMALLER
        name = work_item.trial.id
        _logger.warning("%s: out of memory, encoding with %d images at a time", name, batch)
        clock.listener.stage(f"features, {batch} images at a time")
        try:
            return self._encode_once(work_item, encoding, part, clock, (batch, 0))
        except (RuntimeError, MemoryError) as error:
            if device_failure(error) != "out-of-memory":
                raise
            raise OutOfMemory(
                f"{name}: out of memory on {device_name(self.device)} while encoding, even with "
                f"{batch} images at a time and features on disk; use a device with more memory, or "
                "fewer trials at once (--max-concurrent, or no --share-gpus)"
            ) from error

    def _encode_once(
        self,
        work_item: PreparedTrial,
        encoding: Encoding,
        part: "_SubjectPart",
        clock: Clock,
        limits: tuple[int, int],
    ) -> list[RoiScores]:
        """Score ROIs; limits: images at a time, and bytes of features to keep on the device."""
        [held] = work_item.subjects.values()
        subject, rows = held.subject, part.rows
        batch, budget = limits
        storage = Storage(self.device, budget, self.context.runs.scratch)
        with clock.step("features"):
            batches = partial(held.images.batches, torch.from_numpy(rows), batch)
            features = read_features(
                work_item.network, encoding.layers, batches, len(rows), storage
            )
        with features, clock.step("encoding"):
            responses = {side: matrix[rows] for side, matrix in subject.responses.items()}
            data = self.context.data
            rois = [(roi, read_planned_vertices(data, roi)) for roi in part.rois]
            targets = Targets.gather(responses, rois, self.device)
            return score_rois(
                features,
                targets,
                part.split,
                encoding,
                numerics=numerics_of(work_item.trial),
                keep_predictions=self.context.keep_predictions,
            )


@dataclass(frozen=True)
class _SubjectPart:
    """What of a subject is scored."""

    rois: Sequence[Roi]
    rows: Rows
    """Rows of the subject's images that the protocols read."""
    split: Split
    """The split of these rows."""


def _without_training_images(trial: WorkItem, split: Split, overlap: Overlap) -> Split:
    """Return the split to measure r on, without overlapping images if they are to be excluded."""
    if not (isinstance(trial, Evaluation) and trial.exclude_training_images):
        return split
    left = split.without(overlap.rows)
    if len(left.test) < MIN_ROWS:
        raise ValueError(
            f"{trial.id}: the backbone was trained on {overlap.n_test} of {len(split.test)} test "
            f"images, which leaves {len(left.test)} where {MIN_ROWS} are needed; score it without "
            "--exclude-training-images, or ingest with --split stimulus and fine-tune again"
        )
    return left


def _counted(scores: RoiScores, overlap: Overlap, splits: tuple[Split, Split]) -> RoiScores:
    """Add the number of test images in the backbone's training set, and the number excluded."""
    full, left = (len(split.rows_for(scores.protocol)) for split in splits)
    return replace(scores, n_overlap=overlap.n_test, n_excluded=full - left)
