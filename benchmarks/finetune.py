"""Compare the rate of a contrastive epoch in this package with that of a bare PyTorch loop.

python -m benchmarks.finetune [--images 1500] [--image-size 64] [--repeats 5]

The bare loop runs the same model and optimiser over tensors in memory. Both alternate in one
process, so that other load affects both. Target: a ratio of at least 0.9.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from trainables.data.images import ResidentImages
from trainables.models import backbones
from trainables.models.finetuned import build_model
from trainables.results.epoch_report import EpochReport
from trainables.spec import Contrastive
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.batches import TrainingData
from trainables.training.checkpoints import Checkpoints
from trainables.training.finetune import finetune


@dataclass(frozen=True)
class Problem:
    """The data and model that both loops train on."""

    architecture: str
    images: Tensor
    responses: Tensor
    objective: Contrastive


def main() -> None:
    """Measure both loops alternately and print the ratio with its spread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--vertices", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--backbone", default="narrow-alexnet")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    problem = make_problem(
        options.backbone, options.images, options.image_size, options.vertices, options.batch_size
    )
    bare, real = rates(problem, options.repeats)
    ratios = sorted(ours / theirs for ours, theirs in zip(real, bare, strict=True))
    print(f"bare loop {median(bare):,.0f} images/s, real path {median(real):,.0f} images/s")
    print(f"ratio {median(ratios):.2f} (from {ratios[0]:.2f} to {ratios[-1]:.2f})")


def make_problem(
    backbone: str, n_images: int, image_size: int, n_vertices: int, batch_size: int
) -> Problem:
    """Draw images and responses, on the GPU if there is one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    generator = torch.Generator().manual_seed(0)
    shape = (n_images, 3, image_size, image_size)
    return Problem(
        backbone,
        torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(device),
        torch.randn(n_images, n_vertices, generator=generator).to(device),
        Contrastive(batch_size=batch_size, epochs=3),
    )


def rates(problem: Problem, repeats: int) -> tuple[list[float], list[float]]:
    """Run both loops alternately; return the images per second of bare and of real runs."""
    bare, real = [], []
    for _ in range(repeats):
        bare.append(bare_rate(problem))
        real.append(real_rate(problem))
    return bare, real


def bare_rate(problem: Problem) -> float:
    """Train a plain loop; return its images per second without the first epoch."""
    model = build_model(
        problem.objective,
        backbones.build(problem.architecture),
        problem.images.shape[-1],
        [problem.responses.shape[1]],
        seed=0,
    ).to(problem.images.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=problem.objective.learning_rate)
    seconds = []
    for _ in range(problem.objective.epochs):
        start = time.perf_counter()
        model.train()
        total = 0.0
        for rows in torch.split(torch.randperm(len(problem.images)), problem.objective.batch_size):
            loss = model.loss(problem.images[rows], problem.responses[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            total += loss.item() * len(rows)
        seconds.append(time.perf_counter() - start)
    return len(problem.images) / median(seconds[1:])


def real_rate(problem: Problem) -> float:
    """Fine-tune as a trial does, including checkpoints; return its images per second.

    Time is measured from one epoch's report to the next.
    """
    ends: list[float] = []

    def report(epoch: EpochReport) -> bool:
        ends.append(time.perf_counter())
        return True

    data = TrainingData(
        ResidentImages(problem.images), problem.responses, torch.arange(len(problem.images))
    )
    backbone = backbones.build(problem.architecture).to(problem.images.device)
    with tempfile.TemporaryDirectory() as directory:
        finetune(
            problem.objective,
            0,
            backbone,
            [data],
            Checkpoints(StoredDirectory(Path(directory))),
            report,
        )
    gaps = [after - before for before, after in pairwise(ends)]
    return len(problem.images) / median(gaps)


if __name__ == "__main__":
    main()
