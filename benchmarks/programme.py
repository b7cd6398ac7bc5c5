"""The paper's programme: its sizes, and a model of its GPU-hours on one H200.

python -m benchmarks.programme

The floor counts operations at the card's peak rates. The other columns are sums of times that
``make gpu-check`` measured (docs/performance.md), with ``--precision bfloat16`` and with the
defaults; only fine-tuning differs between them. What is assumed is marked.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Final

import numpy as np

from trainables.spec import LARGEST_ROI, Contrastive, Pooled, Regression

ROIS: Final = (*[600] * 30, *[1500] * 7, *[5741] * 2)
"""Numbers of vertices of a subject's 39 ROIs, 40,000 in all, as in NSD."""
SUBJECTS: Final = 8
POOLED: Final = 43 * 2
"""ROIs of all eight subjects together; each has two models, of mean and of constant width."""
VERTICES: Final = 39548
"""Vertices per subject that an untuned backbone is scored on."""
METHODS: Final = 2
"""Backbones of each ROI: contrastive and regression, all transferred; and the two pooled ones."""
IMAGES, TRAIN, TEST, COMPONENTS = 9841, 8364, 1477, 1000
FOLD, PAPER_FOLD = TRAIN - TRAIN // 5, TEST - TEST // 5
FEATURES: Final = (46656, 32448, 64896, 43264, 9216, 4096, 4096)
"""Features of AlexNet's layers; those of ``classifier.6`` are decomposed in feature space."""
HALF, TENSOR, SINGLE, DOUBLE, MEMORY = 747e12, 394e12, 50e12, 61e12, 4.2e12
"""Peak rates of the H200: operations per second in bfloat16, TF32, float32, float64; bytes per
second."""
CONVOLUTIONS, PRODUCTS = 0.656e9, 0.0586e9
"""Multiply-adds of AlexNet for one image, in convolutions and in fully connected layers."""
ACTIVATIONS, PARAMETERS = 0.63e6, 61.1e6
"""Numbers that AlexNet's layers make of an image, and its weights."""
STEPS: Final = {"bfloat16": (39610, 33880), "default": (27460, 24470)}
"""Images per second of a contrastive step, measured with 600 and 5,741 vertices."""
WHOLE_PATH: Final = 18250 / 18500
"""Rate of the whole training path, relative to its steps."""
HOURS: Final = 3600.0
"""Seconds of an hour."""


@dataclass(frozen=True)
class Row:
    """A part of the programme: how often it runs, and its seconds each time."""

    name: str
    times: float
    floor: float
    bfloat16: float
    default: float
    assumed: str = ""

    @property
    def seconds(self) -> tuple[float, float, float]:
        """Return the seconds of all times: floor, with bfloat16, by default."""
        n = self.times
        return n * self.floor, n * self.bfloat16, n * self.default


def equivalent(hidden: float) -> float:
    """Return the number of vertices of an ROI whose own head has a width."""
    return hidden / Contrastive().hidden_ratio


def subject_epochs() -> dict[str, Counter[float]]:
    """Count passes over a subject's training images, by the vertices that give the head's width."""
    of_rois = Counter({float(n): SUBJECTS * ROIS.count(n) for n in set(ROIS)})
    epochs = {"contrastive": Contrastive().epochs, "regression": Regression().epochs}
    found = {
        name: Counter({n: times * count for n, count in of_rois.items()})
        for name, times in epochs.items()
    }
    each = POOLED * SUBJECTS * Pooled().epochs
    found["pooled-avg"] = Counter({equivalent(fmean(ROIS)): each})
    found["pooled-const"] = Counter({equivalent(LARGEST_ROI): each})
    return found


def scorings() -> dict[str, int]:
    """Count how often a backbone is scored on a subject under both protocols."""
    own = METHODS * SUBJECTS * len(ROIS)
    return {
        "of own ROIs": own + SUBJECTS,
        "of pooled models": POOLED * METHODS * SUBJECTS,
        "transfer": own * (SUBJECTS - 1),
    }


def between(n_vertices: float, sizes: tuple[int, ...], seconds: list[float]) -> float:
    """Interpolate times that were measured at some sizes; beyond the largest, extrapolate."""
    if n_vertices <= sizes[-1] or len(sizes) < 2:
        return float(np.interp(n_vertices, sizes, seconds))
    slope = (seconds[-1] - seconds[-2]) / (sizes[-1] - sizes[-2])
    return seconds[-1] + max(slope, 0.0) * (n_vertices - sizes[-1])


def tuning() -> Iterator[Row]:
    """Yield the fine-tunings, in passes over a subject's training images."""
    for name, counts in subject_epochs().items():
        n = sum(counts.values())
        rates = {
            kind: sum(
                count * TRAIN * between(v, (600, 5741), [1 / rate for rate in measured])
                for v, count in counts.items()
            )
            / n
            / WHOLE_PATH
            for kind, measured in STEPS.items()
        }
        floor = sum(count * _epoch_floor(v) for v, count in counts.items()) / n
        assumed = "" if name == "contrastive" else "by the contrastive step"
        yield Row(f"{name}: epochs", n, floor, rates["bfloat16"], rates["default"], assumed)


def _epoch_floor(n_vertices: float) -> float:
    hidden, embedding = 0.8 * n_vertices, 0.2 * n_vertices
    head = 1000 * hidden + n_vertices * hidden + 2 * (2 * hidden**2 + hidden * embedding)
    image = 6 * (CONVOLUTIONS + PRODUCTS + head) / HALF + 4 * 2 * ACTIVATIONS / MEMORY
    return TRAIN * image + -(-TRAIN // 1024) * 28 * PARAMETERS / MEMORY


def scoring() -> list[Row]:
    """Return the steps of scoring one backbone on one subject under ``nested`` and ``paper``."""
    gram = IMAGES**2 * sum(FEATURES)
    n_folds = 5 * len(FEATURES)
    ridge = 40 * 2 * COMPONENTS * fmean(ROIS) * (TRAIN + 9 * COMPONENTS)
    floors_and_seconds: list[tuple[str, int, float, float]] = [
        ("features", 1, IMAGES * 2 * (CONVOLUTIONS + PRODUCTS) / SINGLE, 0.71),
        ("Gram matrices", 1, gram / DOUBLE, 0.54),
        ("eigenpairs, folds of nested", n_folds, _eigenpairs(FOLD, 38), 0.056),
        ("eigenpairs, all training images", len(FEATURES), _eigenpairs(TRAIN, 52), 0.117),
        ("eigenpairs, folds of paper", n_folds, 10 * PAPER_FOLD**3 / DOUBLE, 0.0133),
        ("eigenpairs of classifier.6", 11, 10 * COMPONENTS**3 / DOUBLE, 0.0104),
        ("parts of Gram matrices, scores", 1, 0.0, 0.16),
        ("ridge and r", 1, ridge / SINGLE, 0.22),
    ]
    return [Row(name, n, floor, took, took) for name, n, floor, took in floors_and_seconds]


MEASURED_SCORING: Final = 4.3
"""Seconds of a whole measured scoring, 600 vertices, without its features."""


def _eigenpairs(n: int, n_products: int) -> float:
    """Return the fewest seconds of subspace iteration for n rows, with products in TF32."""
    m, n_locked = 1208, 200
    doubles = 2 * n**2 * m + 6 * n**2 * n_locked + 20 * n * m**2
    return 2 * n**2 * m * n_products / TENSOR + doubles / DOUBLE


LOAD, WRITE = 0.14, 0.1
"""Seconds to load a backbone, and to write the scores and predictions of a subject."""


def host() -> list[Row]:
    """Return what the GPU waits for, without the transfer."""
    n_trained = METHODS * SUBJECTS * len(ROIS) + POOLED * METHODS
    n = scorings()
    return [
        Row("load a backbone", n_trained, 0, LOAD, LOAD, "CPU time of another machine"),
        Row("build a model", n_trained, 0, 0.013, 0.013),
        Row("copy weights for the checkpoint", n_trained, 0, 0.2, 0.2, "by size, of 0.55 s"),
        Row("read a subject", 100, 0, 1.6, 1.6, "how often"),
        _writing(n["of own ROIs"] + n["of pooled models"]),
    ]


def host_of_transfer() -> list[Row]:
    """Return what the GPU waits for in the transfer."""
    n = scorings()["transfer"]
    loading = Row("transfer: load a backbone", n, 0, LOAD, LOAD, "CPU time of another machine")
    return [loading, replace(_writing(n), name="transfer: write scores")]


def _writing(n_scorings: int) -> Row:
    assumed = "another machine, 2,500 vertices"
    return Row("write scores", n_scorings, 0, WRITE, WRITE, assumed)


def table(rows: Iterable[Row], unit: float) -> tuple[float, float, float]:
    """Print rows and their sum in a unit of seconds; return the sum in seconds."""
    total = (0.0, 0.0, 0.0)
    for row in rows:
        total = added(total, row.seconds)
        note = f"  ({row.assumed})" if row.assumed else ""
        print(f"  {row.name:32} {row.times:9,.0f} {columns(row.seconds, unit)}{note}")
    print(f"  {'sum':42} {columns(total, unit)}")
    return total


def added(*sums: tuple[float, float, float]) -> tuple[float, float, float]:
    """Add sums by column."""
    floor, bfloat16, default = (sum(column) for column in zip(*sums, strict=True))
    return floor, bfloat16, default


def columns(seconds: Iterable[float], unit: float) -> str:
    """Format floor, bfloat16 and default in a unit of seconds."""
    return " ".join(f"{one / unit:8.2f}" for one in seconds)


GOAL: Final = 5.0
"""GPU-hours that the programme without transfer, and the transfer, are to take at most."""


def needed(tuned: float, waited: float) -> tuple[float, float]:
    """Return the seconds that a scoring may take to reach the goals: own subjects, transfer.

    tuned, waited: seconds of all fine-tuning, and of the host without the transfer. The first is
    below 0 where fine-tuning alone takes longer.
    """
    n = scorings()
    own, transfer = n["of own ROIs"] + n["of pooled models"], n["transfer"]
    return (GOAL * HOURS - tuned - waited) / own, GOAL * HOURS / transfer - LOAD - WRITE


def main() -> None:
    """Print the hours of each part, and of the programme with and without transfer."""
    print(f"{'':34} {'times':>9} {'floor':>8} {'bfloat16':>8} {'default':>8}")
    print("scoring a backbone on a subject once, in seconds")
    once = table(scoring(), 1.0)
    print(f"  measured as a whole, without features: {MEASURED_SCORING:.1f} s")
    print("fine-tuning, passes over a subject's training images, in GPU-hours")
    tuned = table(tuning(), HOURS)
    print("scoring, in GPU-hours")
    scored = [Row(name, n, *once) for name, n in scorings().items()]
    all_scores = table(scored, HOURS)
    print("the host, in GPU-hours")
    waited, waited_for_transfer = table(host(), HOURS), table(host_of_transfer(), HOURS)
    core = added(tuned, waited, *(one.seconds for one in scored if one.name != "transfer"))
    everything = added(tuned, waited, waited_for_transfer, all_scores)
    transfer = [total - part for total, part in zip(everything, core, strict=True)]
    for name, seconds in (
        ("without transfer", core),
        ("of transfer", transfer),
        ("in all", everything),
    ):
        print(f"{'programme ' + name:44} {columns(seconds, HOURS)}")
    own, transferred = needed(tuned[1], waited[1])
    print(
        f"With bfloat16, {GOAL:g} GPU-hours without transfer would need scorings of {own:.2f} s; "
        f"{GOAL:g} of transfer, of {transferred:.2f} s."
    )


if __name__ == "__main__":
    main()
