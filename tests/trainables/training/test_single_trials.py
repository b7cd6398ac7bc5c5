"""Fine-tuning on single trials: one of each image's in an epoch, all of them in turn."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.builders.tiny_finetuning import (
    BOTH,
    CONTRASTIVE,
    CPU,
    Listener,
    assert_same,
    planted,
    run_finetuning,
)
from trainables.data.trials import Trials
from trainables.exceptions import Stopped
from trainables.training.batches import TrainingData, epoch_steps, read_batches
from trainables.training.distributed import SINGLE_PROCESS, TrialProcessGroup
from trainables.training.single_trials import SingleTrials

N = 60
COUNTS = np.random.default_rng(1).integers(1, 4, N)

pytestmark = pytest.mark.usefixtures("one_thread")


def with_trials(data: TrainingData, noise: float = 1.0, seed: int = 0) -> TrainingData:
    """Add trials: of the images in order, the mean response and noise."""
    images = np.repeat(np.arange(N), COUNTS)
    means = data.responses.numpy()[images]
    drawn = np.random.default_rng(2).standard_normal(means.shape)
    trials = Trials(images, (means + noise * drawn).astype(np.float32))
    return replace(data, trials=SingleTrials.of(trials, N, seed, CPU))


def numbered() -> TrainingData:
    """Trials whose response is their own number and that of their image."""
    images = np.repeat(np.arange(N), COUNTS)
    values = np.stack([np.arange(len(images)), images], axis=1).astype(np.float32)
    trials = SingleTrials.of(Trials(images, values), N, 0, CPU)
    return replace(planted(), trials=trials)


def test_every_trial_of_an_image_is_used_once_in_as_many_epochs_as_it_has() -> None:
    data, rows = numbered(), torch.arange(N)
    used = torch.stack([next(data.responses_of([rows], epoch)) for epoch in range(1, 7)])
    assert torch.equal(used[..., 1], rows.expand(6, N).float())
    numbers = used[..., 0].numpy()
    for image, count in enumerate(COUNTS):
        cycles = numbers[:, image].reshape(-1, count)
        expected = COUNTS[:image].sum() + np.arange(count)
        assert all(sorted(cycle) == expected.tolist() for cycle in cycles)


def test_another_seed_begins_with_other_trials() -> None:
    first, other = (with_trials(planted(), seed=seed).trials for seed in (0, 1))
    assert not torch.equal(first.start, other.start)
    assert torch.equal(first.start, with_trials(planted(), seed=0).trials.start)


@pytest.mark.parametrize("n_workers", [1, 3])
def test_an_epoch_has_no_two_trials_of_an_image_and_each_image_with_a_trial_of_its_own(
    n_workers,
) -> None:
    data = numbered()
    groups = [SINGLE_PROCESS]
    if n_workers > 1:
        groups = [TrialProcessGroup(rank, n_workers, None, None) for rank in range(n_workers)]
    steps = epoch_steps([data.rows], 16, "sequential")
    batches = [list(read_batches([data], steps, group, 2)) for group in groups]
    images = torch.cat([step.rows for step in steps])
    found = torch.cat(
        [torch.cat([own.responses for own in of]) for of in zip(*batches, strict=True)]
    )
    assert torch.equal(found[:, 1], images.float())
    assert len(found[:, 1].unique()) == N
    assert torch.equal(found, next(data.responses_of([images], 2)))


@BOTH
def test_trials_that_equal_their_means_train_as_the_means_do(tmp_path, objective) -> None:
    data = planted()
    same = run_finetuning(tmp_path / "trials", objective, with_trials(data, noise=0))
    assert_same(same, run_finetuning(tmp_path / "means", objective, data))
    noisy, _ = run_finetuning(tmp_path / "noisy", objective, with_trials(data))
    assert any(not torch.equal(noisy[name], same[0][name]) for name in noisy)


def test_a_training_on_trials_that_was_stopped_ends_as_an_undisturbed_one(tmp_path) -> None:
    data = with_trials(planted())
    undisturbed = run_finetuning(tmp_path / "undisturbed", CONTRASTIVE, data)
    with pytest.raises(Stopped):
        run_finetuning(tmp_path / "stopped", CONTRASTIVE, data, listener=Listener(stop_after=1))
    assert_same(run_finetuning(tmp_path / "stopped", CONTRASTIVE, data), undisturbed)


def test_permuted_images_exchange_all_of_their_trials() -> None:
    data = numbered()
    permuted = data.permuted(0, 0.2)
    trained, held = data.held_back(0.2)
    of_epochs = torch.stack(
        [next(permuted.responses_of([trained], epoch)) for epoch in range(1, 7)]
    )
    assert (of_epochs[..., 1] == of_epochs[0, :, 1]).all()
    given = of_epochs[0, :, 1].long()
    assert torch.equal(given.sort().values, trained.sort().values)
    assert not torch.equal(given, trained)
    means = data.responses[given]
    assert torch.equal(permuted.responses[trained], means)
    for place, image in enumerate(given.tolist()):
        assert len(of_epochs[:, place, 0].unique()) == COUNTS[image]
    parts = [next(one.responses_of([held], 1)) for one in (permuted, data)]
    assert torch.equal(*parts)
