"""Fine-tuning of controls: permuted responses, and images alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.builders.tiny_backbone import tiny_backbone
from tests.builders.tiny_finetuning import (
    CONTRASTIVE,
    SIZE,
    Listener,
    assert_same,
    measured,
    planted,
    run_finetuning,
)
from trainables.exceptions import Stopped
from trainables.spec import SelfSupervised
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.checkpoints import Checkpoints
from trainables.training.finetune import finetune
from trainables.training.microbatches import Microbatcher
from trainables.training.synchronised import ForwardConfig

SIMCLR = SelfSupervised(
    learning_rate=3e-3, batch_size=16, epochs=4, hidden_dim=12, embedding_dim=6, validation=0.2
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_permuted_responses_are_those_of_other_trained_images_and_the_rest_stay() -> None:
    data = planted()
    permuted = data.permuted(0, 0.2)
    trained, held = data.held_back(0.2)
    assert not torch.equal(permuted.responses[trained], data.responses[trained])
    assert torch.equal(permuted.responses[held], data.responses[held])
    own, mixed = (one.responses[trained].numpy() for one in (data, permuted))
    order = np.lexsort(own.T), np.lexsort(mixed.T)
    np.testing.assert_array_equal(own[order[0]], mixed[order[1]])  # whole rows moved
    assert torch.equal(data.permuted(0, 0.2).responses, permuted.responses)
    assert not torch.equal(data.permuted(1, 0.2).responses, permuted.responses)


def test_a_training_on_images_alone_lowers_its_loss_and_measures_no_retrieval(tmp_path) -> None:
    _, history = run_finetuning(tmp_path, replace(SIMCLR, epochs=8))
    assert history[-1].loss < history[0].loss
    assert all(report.retrieval_top1 is None for report in history)


def test_a_training_on_images_alone_does_not_depend_on_responses(tmp_path) -> None:
    data = planted()
    other = replace(data, responses=torch.zeros(len(data.responses), 1))
    first = run_finetuning(tmp_path / "a", SIMCLR, data)
    second = run_finetuning(tmp_path / "b", SIMCLR, other)
    assert_same(first, second)


def test_a_training_on_images_alone_that_was_stopped_ends_as_an_undisturbed_one(tmp_path) -> None:
    undisturbed = run_finetuning(tmp_path / "undisturbed", SIMCLR)
    with pytest.raises(Stopped):
        run_finetuning(tmp_path / "stopped", SIMCLR, listener=Listener(stop_after=2))
    assert_same(run_finetuning(tmp_path / "stopped", SIMCLR), undisturbed)


def test_microbatches_of_views_have_the_loss_of_whole_batches(tmp_path) -> None:
    _, whole = run_finetuning(tmp_path / "whole", replace(SIMCLR, epochs=1))
    history = finetune(
        replace(SIMCLR, epochs=1),
        0,
        tiny_backbone(SIZE, 16),
        [planted()],
        Checkpoints(StoredDirectory(tmp_path / "parts")),
        Listener(),
        forward_config=ForwardConfig(Microbatcher(5)),
    )
    assert measured(history)[0][1] == pytest.approx(measured(whole)[0][1], rel=1e-5)


def test_another_permutation_trains_another_backbone(tmp_path) -> None:
    data = planted()
    states = [
        run_finetuning(tmp_path / name, CONTRASTIVE, one)[0]
        for name, one in (("own", data), ("permuted", data.permuted(0, 0.2)))
    ]
    assert any(not torch.equal(states[0][name], states[1][name]) for name in states[0])
