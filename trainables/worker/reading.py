"""Read what a trial or evaluation needs: its subjects, its network, and the data to train on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.data.shards import Manifest, read_planned_vertices
from trainables.models import backbones
from trainables.spec import Roi, Trial, Untuned
from trainables.spec.evaluation import Evaluation, training_of
from trainables.training.batches import TrainingData
from trainables.training.checkpoints import load_network
from trainables.training.single_trials import SingleTrials
from trainables.worker.context import PreparedTrial, RunContext
from trainables.worker.subject_cache import SubjectCache


@dataclass(frozen=True)
class TrialReader:
    """Reads trials and evaluations onto a device, with subjects from a worker's cache."""

    context: RunContext
    device: torch.device
    subjects: SubjectCache

    def read(self, trial: Trial, *, keep_unused: bool = True) -> PreparedTrial:
        """Read a trial's subjects, and its backbone with the weights that it starts from.

        keep_unused: keep other subjects in the cache. Raises ValueError for unusable data or
        weights.
        """
        subjects = self.subjects.of(trial)
        if not keep_unused:
            self.subjects.evict_unused()
        network = backbones.load(trial.backbone, self.context.weights_file).to(self.device)
        return PreparedTrial(trial, network, subjects)

    def read_alone(self, trial: Trial) -> PreparedTrial:
        """Read a trial again, with nothing else in this worker's memory; raise as :meth:`read`."""
        self.subjects.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return self.read(trial)

    def read_finetuned(self, evaluation: Evaluation) -> PreparedTrial:
        """Read the checkpoint of a fine-tuned backbone, and the subject to score it on.

        Raises ValueError for an unusable checkpoint or unusable data.
        """
        directory = self.context.checkpoint(evaluation)
        network = load_network(directory, evaluation.backbone)
        subjects = self.subjects.of(evaluation)
        return PreparedTrial(evaluation, network.to(self.device), subjects)

    def training_data(self, work_item: PreparedTrial) -> list[TrainingData]:
        """Return the data to fine-tune on, one for each ROI that the trial is tuned on, in order.

        A trial that is tuned on images alone gets responses of no vertex's, which are 0.
        """
        trial = training_of(work_item.trial)
        if trial.is_of_subject:
            [held] = work_item.subjects.values()
            none = torch.zeros(held.images.n_images, 1, device=self.device)
            return [TrainingData(held.images, none, torch.from_numpy(held.subject.train_rows))]
        data = []
        for roi in trial.trained_rois:
            held = work_item.subjects[roi.shard]
            vertices = read_planned_vertices(self.context.data, roi)
            responses = held.subject.responses[roi.hemisphere][:, vertices]
            rows = torch.from_numpy(held.subject.train_rows)
            on_device = torch.from_numpy(responses).to(self.device)
            trials = self._single_trials(roi, vertices, trial.seed)
            of_roi = TrainingData(held.images, on_device, rows, trials)
            if trial.permuted and not isinstance(trial.objective, Untuned):
                of_roi = of_roi.permuted(trial.seed, trial.objective.validation)
            data.append(of_roi)
        return data

    def _single_trials(
        self, roi: Roi, vertices: NDArray[np.integer[Any]], seed: int
    ) -> SingleTrials | None:
        """Return the single trials that a backbone is fine-tuned on, where the subject has them."""
        trials = self.subjects.trials_of(roi, vertices)
        if trials is None:
            return None
        n_images = Manifest.read(self.context.data.shard(roi.shard)).n_images
        return SingleTrials.of(trials, n_images, seed, self.device)
