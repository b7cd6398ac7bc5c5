"""The best model of an ROI: by validation where that is fair to all of its models, else by r."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from orchestrator.export.choice import Asked, choose
from tests.builders.small_scores import LAYERS, roi
from trainables.encoding.score_rois import RoiScores
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import write_scores
from trainables.spec import Backbone, Contrastive, Encoding, Objective, Pooled, Protocol, Untuned
from trainables.spec.trial import Trial

TUNED = Contrastive(validation=0.2)
WHERE = roi()


@dataclass(frozen=True)
class Model:
    """A model of an ROI: per protocol, its r of the test images and its score of validation."""

    objective: Objective
    scores: dict[Protocol, tuple[float, float]]
    backbone: str = "alexnet"

    def write(self, runs: RunDirectory) -> Trial:
        rois = (WHERE, roi(subject="subj02")) if isinstance(self.objective, Pooled) else (WHERE,)
        encoding = Encoding(layers=LAYERS, protocols=tuple(self.scores))
        trial = Trial(self.objective, rois, Backbone(self.backbone), encoding)
        written = [self._scores(name, *values) for name, values in self.scores.items()]
        write_scores(runs, trial, written)
        return trial

    def _scores(self, protocol: Protocol, r: float, validation: float) -> RoiScores:
        """Write them of the second layer; the first one's validation would choose otherwise."""
        values = np.full(4, r)
        choice = np.stack(
            [np.full(4, 0.9), [validation - 0.1, validation + 0.1, validation, np.nan]]
        )
        return RoiScores(
            roi=WHERE,
            protocol=protocol,
            layer=LAYERS[1],
            layers=LAYERS,
            vertex=np.arange(4, dtype=np.int32),
            alpha=np.full(4, 10.0),
            r=values,
            r_by_layer=np.stack([values, values]),
            choice_by_layer=choice,
            n_test=15,
        )


CASES = {
    "untuned backbones by their folds of training images": (
        Model(Untuned(), {"nested": (0.5, 0.2)}),
        Model(Untuned(), {"nested": (0.4, 0.3)}, "resnet18"),
        (1, "validation"),
    ),
    "a fine-tuned backbone has seen the folds of nested": (
        Model(Untuned(), {"nested": (0.5, 0.2)}),
        Model(TUNED, {"nested": (0.4, 0.3)}),
        (0, "test"),
    ),
    "a fine-tuned backbone has not seen those of clean": (
        Model(Untuned(), {"nested": (0.5, 0.6), "clean": (0.4, 0.2)}),
        Model(TUNED, {"nested": (0.4, 0.3), "clean": (0.3, 0.3)}),
        (1, "validation"),
    ),
    "clean is preferred to nested": (
        Model(Untuned(), {"nested": (0.5, 0.6), "clean": (0.4, 0.2)}),
        Model(Untuned(), {"nested": (0.4, 0.3), "clean": (0.3, 0.3)}, "resnet18"),
        (1, "validation"),
    ),
    "one model without clean scores": (
        Model(Untuned(), {"nested": (0.5, 0.2)}),
        Model(TUNED, {"nested": (0.4, 0.3), "clean": (0.3, 0.3)}),
        (0, "test"),
    ),
    "a pooled backbone may know the images by other subjects": (
        Model(Untuned(), {"nested": (0.5, 0.2), "clean": (0.4, 0.2)}),
        Model(Pooled(validation=0.2), {"nested": (0.4, 0.3), "clean": (0.3, 0.3)}),
        (0, "test"),
    ),
    "a model without a score of validation": (
        Model(Untuned(), {"nested": (0.5, 0.2)}),
        Model(Untuned(), {"nested": (0.4, np.nan)}, "resnet18"),
        (0, "test"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_best_model_is_chosen_without_test_images_where_that_is_fair(
    case: str, tmp_path: Path
) -> None:
    *models, (best, chosen_by) = CASES[case]
    runs = RunDirectory(tmp_path)
    trials = [model.write(runs) for model in models]
    [chosen] = choose(runs, Asked())
    assert (chosen.work_item.id, chosen.chosen_by) == (trials[best].id, chosen_by)
    assert chosen.n_candidates == 2


def test_a_model_without_rivals_was_not_chosen(tmp_path: Path) -> None:
    Model(TUNED, {"nested": (0.4, 0.3)}).write(RunDirectory(tmp_path))
    [chosen] = choose(RunDirectory(tmp_path), Asked())
    assert chosen.n_candidates == 1
