"""The responses that a backbone is fine-tuned on: those of its ROI's vertices and hemisphere."""

from typing import Any

import numpy as np
import pytest

from tests.builders.tiny_runs import CONTRASTIVE, Listener
from trainables.data.rows import fixed_width, read_rows
from trainables.training.batches import TrainingData

pytestmark = pytest.mark.usefixtures("without_ray")


@pytest.mark.parametrize(
    ("roi", "side", "vertices"), [(1, "lh", slice(4, 10)), (3, "rh", slice(0, 6))]
)
def test_a_backbone_is_finetuned_on_its_rois_hemisphere(
    place, monkeypatch, roi, side, vertices
) -> None:
    given: list[TrainingData] = []

    def record(objective: Any, seed: int, network: Any, data: Any, *rest: Any, **more: Any) -> Any:
        given.extend(data)
        return ()

    monkeypatch.setattr("trainables.worker.runner.finetune", record)
    trial = place.trial(CONTRASTIVE, roi=roi)
    assert trial.rois[0].hemisphere == side
    place.runner().run(trial, Listener())
    [data] = given
    expected = {}
    for table in read_rows(place.home / "data" / trial.rois[0].shard, ["index", side]):
        responses = fixed_width(table[side], np.float32)[:, vertices]
        expected |= dict(zip(table["index"].to_pylist(), responses, strict=True))
    ordered = np.stack([expected[index] for index in sorted(expected)])
    np.testing.assert_array_equal(data.responses.numpy(), ordered)
