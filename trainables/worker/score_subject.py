"""Score a network on the images and responses of one subject after another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch

from trainables.compute.device import free_bytes
from trainables.data.shards import read_planned_vertices
from trainables.data.stimuli import KnownStimuli, Overlap
from trainables.encoding.features import Storage, extract
from trainables.encoding.protocols import MIN_ROWS, Split
from trainables.encoding.score_rois import CellScores, Targets, score_cells
from trainables.results.prediction_files import write_predictions
from trainables.results.score_files import score_file, write_scores
from trainables.spec import Cell, Encoding
from trainables.spec.evaluation import Evaluation, Work, setting_source
from trainables.worker.context import PreparedTrial, Workplace
from trainables.worker.progress import Clock

FEATURE_BATCH: Final = {"cpu": 32, "cuda": 256}
"""Images at once: on a CPU, larger ones leave the memory that the allocator reuses."""

SHARE_FOR_FEATURES: Final = 0.25


@dataclass(frozen=True)
class SubjectScorer:
    """Scores a trial's network subject by subject, and writes scores and predictions."""

    workplace: Workplace
    device: torch.device
    stimuli: KnownStimuli

    def score(self, work: PreparedTrial, encoding: Encoding, clock: Clock) -> None:
        """Score the trial's cells; of a pooled trial, the subjects that have no scores yet."""
        runs, trial = self.workplace.runs, work.trial
        for shard, held in work.subjects.items():
            cells = [cell for cell in trial.cells if cell.shard == shard]
            done = all(score_file(runs, trial.id, cell).exists() for cell in cells)
            if len(work.subjects) == 1 or not done:
                self._score_subject(replace(work, subjects={shard: held}), encoding, cells, clock)

    def _score_subject(
        self, work: PreparedTrial, encoding: Encoding, of_subject: Sequence[Cell], clock: Clock
    ) -> None:
        [held] = work.subjects.values()
        trial, subject, images = work.trial, held.subject, held.images
        full = Split(subject.train_rows, subject.test_rows, subject.manifest.n_images)
        overlap = self.stimuli.overlap(setting_source(trial), of_subject[0])
        split = _without_seen(trial, full, overlap)
        rows, compact = split.compact(encoding.protocols)
        budget = self.workplace.feature_budget
        if budget is None:
            budget = int(SHARE_FOR_FEATURES * free_bytes(self.device))
        storage = Storage(self.device, budget, self.workplace.scratch)
        with clock.step("features"):
            batches = images.batches(torch.from_numpy(rows), FEATURE_BATCH[self.device.type])
            features = extract(work.network, encoding.layers, batches, len(rows), storage)
        with features, clock.step("encoding"):
            responses = {side: matrix[rows] for side, matrix in subject.responses.items()}
            data = self.workplace.data
            cells = [(cell, read_planned_vertices(data, cell)) for cell in of_subject]
            targets = Targets.gather(responses, cells, self.device)
            keep = self.workplace.keep_predictions
            scores = score_cells(features, targets, compact, encoding, keep_predictions=keep)
        for cell in of_subject:
            mine = [_counted(one, overlap, (full, split)) for one in scores if one.cell == cell]
            write_predictions(self.workplace.runs, trial, mine, rows[compact.test])
            write_scores(self.workplace.runs, trial, mine)


def _without_seen(trial: Work, split: Split, overlap: Overlap) -> Split:
    """Return the images to measure r on: where seen ones are to be dropped, the others."""
    if not (isinstance(trial, Evaluation) and trial.drop_seen):
        return split
    left = split.without(overlap.rows)
    if len(left.test) < MIN_ROWS:
        raise ValueError(
            f"{trial.id}: the trunk was trained on {overlap.n_test} of {len(split.test)} test "
            f"images, which leaves {len(left.test)} where {MIN_ROWS} are needed; score it without "
            "--drop-seen, or ingest with --split stimulus and tune again"
        )
    return left


def _counted(scores: CellScores, overlap: Overlap, splits: tuple[Split, Split]) -> CellScores:
    """Add how many images the trunk has seen, and how many are left out for that."""
    full, left = (len(split.rows_for(scores.protocol)) for split in splits)
    return replace(scores, n_seen=overlap.n_test, n_dropped=full - left)
