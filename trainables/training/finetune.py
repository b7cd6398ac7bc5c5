"""Fine-tune a backbone on brain responses: one recipe for a single subject and for several.

The loop treats a training of one subject as a pooled training of a single subject; they differ
only in the model that ``Training.build`` makes from the objective. Several processes may share a
training: each processes its rows of every batch, and the first reports and saves for all.
"""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from trainables.compute.precision import torch_set_for_training
from trainables.exceptions import Diverged, Stopped
from trainables.models.finetuned import begin_epoch, embedder_of
from trainables.results.epoch_report import EpochReport
from trainables.spec import Finetuned, Pooled
from trainables.training.batches import TrainingData, epoch_steps, read_batches, seeded
from trainables.training.checkpoints import Checkpoints
from trainables.training.distributed import SINGLE_PROCESS, TrialProcessGroup
from trainables.training.preparation import Training
from trainables.training.retrieval import with_retrieval
from trainables.training.saved_state import merge_adapters
from trainables.training.synchronised import WHOLE_BATCHES, ForwardConfig, SharedModel
from trainables.training.views import training_images

_logger = logging.getLogger(__name__)

History = tuple[EpochReport, ...]
Report = Callable[[EpochReport], bool]
"""Takes an epoch's report; returns False when the training should stop."""


def finetune(
    objective: Finetuned,
    seed: int,
    backbone: nn.Module,
    subjects: Sequence[TrainingData],
    checkpoints: Checkpoints,
    report: Report,
    *,
    process_group: TrialProcessGroup = SINGLE_PROCESS,
    forward_config: ForwardConfig = WHOLE_BATCHES,
) -> History:
    """Fine-tune a backbone in place, from its last checkpoint if there is one.

    subjects: one subject, or those of a pooled training in the order in which a sequential epoch
    visits them; the backbone is on the device of their responses. Every process of a group makes
    this same call. forward_config: the backbone's forward pass. Returns the reports of all epochs;
    the last checkpoint may still be written then, if that is done in the background. Raises Stopped
    if report returns False, Diverged if the loss is NaN.
    """

    def begin() -> tuple[Training, History, bool]:
        built = Training.build(objective, seed, backbone, subjects, forward_config.numerics)
        return built, *checkpoints.resume(built.model, built.optimizer, objective.epochs)

    training, history, is_complete = process_group.together(begin)
    process_group.check_same((len(history), is_complete), "epochs of the checkpoint, complete")
    if history:
        _logger.info("resumed after epoch %d of %d", history[-1].epoch, objective.epochs)
    if is_complete:
        return history
    shared = SharedModel(process_group, training.model, forward_config)
    with shared.synchronised(), torch_set_for_training(forward_config.numerics):
        for epoch in range(len(history) + 1, objective.epochs + 1):
            with seeded(seed, epoch, subjects[0].responses.device):
                done = train_epoch(training, shared, process_group, epoch)
            history, is_stopped = process_group.decide(
                partial(_end_epoch, training, (*history, done), checkpoints, report)
            )
            if is_stopped:
                raise Stopped(history)
    training.optimizer.zero_grad(set_to_none=True)  # scoring needs their memory
    merge_adapters(training.model)
    return history


def train_epoch(
    training: Training, shared: SharedModel, process_group: TrialProcessGroup, epoch: int
) -> EpochReport:
    """Train one epoch; each process of a group processes its rows of each batch.

    Draws from torch's generators, which have the same state in all processes. Raises Diverged, in
    every process, if the loss is NaN.
    """
    start = time.perf_counter()
    objective, optimizer = training.objective, training.optimizer
    order = objective.order if isinstance(objective, Pooled) else "sequential"
    begin_epoch(training.model)
    training.tuned.keep_statistics()
    # Summed on the device: reading each batch's loss would make the host wait for every batch.
    device = training.subjects[0].responses.device
    total = torch.zeros((), dtype=torch.float64, device=device)
    with process_group.in_step():
        steps = epoch_steps(training.rows, objective.batch_size, order)
        for batch in read_batches(training.subjects, steps, process_group, epoch):
            embedder = embedder_of(training.model, batch.subject)
            images = training_images(objective, batch, process_group)
            loss = shared.loss(embedder, images, batch.responses, batch.n_images)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            shared.sum_gradients()
            optimizer.step()
            total += loss.detach().double() * batch.n_images
    n_images = sum(map(len, training.rows))
    mean_loss = float(total) / n_images
    if mean_loss != mean_loss:
        raise Diverged(f"the loss is not a number in epoch {epoch}; lower learning_rate")
    seconds = time.perf_counter() - start
    return EpochReport(epoch, mean_loss, seconds, n_images / seconds)


def _end_epoch(
    training: Training, history: History, checkpoints: Checkpoints, report: Report
) -> tuple[History, bool]:
    """Measure retrieval, report and save; return the history and whether to stop."""
    done = with_retrieval(history[-1], training.model, training.subjects, training.held_out)
    history = (*history[:-1], done)
    epochs, rate = training.objective.epochs, done.images_per_second
    _logger.info("epoch %d of %d: loss %.4g, %.0f images/s", done.epoch, epochs, done.loss, rate)
    is_last = done.epoch == training.objective.epochs
    is_stopped = not report(done) and not is_last
    model, optimizer = training.model, training.optimizer
    checkpoints.after_epoch(history, model, optimizer, is_last=is_last, is_stopped=is_stopped)
    return history, is_stopped
