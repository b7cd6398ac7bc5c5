"""The protocol clean: it chooses and fits on images that no backbone was tuned on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.builders.layer_features import (
    N_TRAIN,
    N_VERTICES,
    N,
    encoding,
    only,
    roi,
    simulate,
    split,
)
from trainables.spec import CLEAN_SHARE, Contrastive, Trial, Untuned
from trainables.training.batches import TrainingData


def test_clean_looks_at_the_last_fifth_of_the_training_images_alone() -> None:
    layers, Y = simulate()
    tuned_on, held_back = np.split(split().train, [N_TRAIN - N_TRAIN // 5])
    before, changed = only(layers, Y, "clean"), Y.copy()
    changed[tuned_on] = 0
    after = only(layers, changed, "clean")
    assert after.layer == before.layer
    np.testing.assert_array_equal(after.r, before.r)
    changed[held_back[:8]] = np.random.default_rng(0).standard_normal((8, N_VERTICES))
    assert np.abs(only(layers, changed, "clean").r - before.r).min() > 0


@pytest.mark.parametrize("n_train", [80, 81, 84, 85])
def test_the_rows_of_clean_are_those_that_a_training_holds_back(n_train) -> None:
    rows = split(n_train=n_train).train
    data = TrainingData(None, torch.zeros(N, 1), torch.from_numpy(rows))
    _, held_back = data.held_back(CLEAN_SHARE)
    assert split(n_train=n_train).clean.tolist() == held_back.tolist()
    longer = data.held_back(0.3)[1].tolist()
    assert set(held_back.tolist()) < set(longer)


def test_a_backbone_tuned_on_the_images_of_clean_is_refused() -> None:
    own = roi("V1v", 9)
    few = Contrastive(validation=0.1)
    with pytest.raises(ValueError, match=r"validation of at least 0\.2, found 0\.1"):
        Trial(few, (own,), encoding=encoding("nested", "clean"))
    Trial(few, (own,), encoding=encoding("nested"))
    Trial(replace(few, validation=0.2), (own,), encoding=encoding("clean"))
    Trial(Untuned(), (own,), encoding=encoding("clean"))


def test_planted_signal_of_few_features_is_recovered_by_the_fifth_that_clean_fits_on() -> None:
    layers, Y = simulate()
    layers["middle"] = layers["middle"][:, :3]
    generator = np.random.default_rng(0)
    planted = layers["middle"].numpy() @ generator.standard_normal((3, N_VERTICES))
    Y = (planted + 0.05 * generator.standard_normal(Y.shape)).astype(np.float32)
    scores = only(layers, Y, "clean")
    assert scores.layer == "middle"
    assert scores.r.mean() > 0.95
    shuffled = only(layers, Y[generator.permutation(N)], "clean")
    assert abs(shuffled.r.mean()) < 0.2
