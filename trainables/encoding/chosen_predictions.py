"""Predictions of the test images at the layer that each ROI chooses, kept while layers go by."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.compute.precision import full_float32
from trainables.encoding.protocols import LayerScores
from trainables.encoding.ridge import predict_each

Predictions = np.ndarray[Any, np.dtype[np.float16]]


def mean_choice(choice: Tensor, columns: Tensor) -> Tensor:
    """Average what a layer is chosen by over an ROI's vertices that have it; NaN without any.

    choice: (n_vertices,). columns: the ROI's vertices among them.
    """
    return choice.cpu()[columns].nanmean()


class ChosenPredictions:
    """Each ROI's predictions at its best layer so far: half precision, on the CPU.

    That is 2 bytes an image and vertex of an ROI, however many layers there are, and costs one
    product of matrices a layer for the ROIs that it is the best so far of.
    """

    def __init__(self, columns: Sequence[Tensor]) -> None:
        self._columns = columns
        self._best = [-torch.inf] * len(columns)
        self.of_roi: list[Predictions | None] = [None] * len(columns)
        """(n_test, n_vertices) an ROI, in the order of columns."""

    def offer(self, scores: LayerScores, Y: Tensor) -> None:
        """Take a layer's predictions for the ROIs that would choose it over those before.

        Y: (n_images, n_vertices). A layer whose scores come of several fits has none to take.
        """
        if scores.refit is None:
            return
        for number, columns in enumerate(self._columns):
            choice = float(mean_choice(scores.choice, columns).nan_to_num(nan=-torch.inf))
            if choice > self._best[number] or self.of_roi[number] is None:
                with full_float32():
                    values = predict_each(scores.refit, Y[:, columns], scores.alpha[columns])
                self._best[number] = choice
                self.of_roi[number] = values.half().cpu().numpy()
