"""Compare the rate of the predict command with that of the backbone alone.

python -m benchmarks.predict [--architecture alexnet] [--source jpeg|png|shards] [--ray]
[--images 384] [--repeats 3]

Random weights; images of 425 x 425 pixels in files, of 224 x 224 in shards; one model of 1,000
vertices. In each repetition, the backbone computes its last layer of decoded images in memory, in
batches as the command's; then the command predicts the images' source twice: a quarter of them, and
all. The difference is what three quarters take, without imports and the start of Ray and its
actors. CPU times count all processes, so that other load on the machine does not matter much. On a
CPU, decoding takes its share of the same cores; it is measured apart.
"""

import argparse
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.made_up_models import write_model
from benchmarks.processes import cpu_seconds_by_process
from benchmarks.small_shards import PlantedRows, write_subject
from orchestrator.encoding_models.config import find_models
from orchestrator.encoding_models.files import TensorFiles
from orchestrator.encoding_models.layer_reader import LayerReader
from orchestrator.encoding_models.shared_backbone import by_backbone
from orchestrator.ingest.simulate.scenes import compose, render
from orchestrator.predict.job import Job
from orchestrator.predict.outputs import Contents, write_output
from orchestrator.predict.parts import Parts, make_plan
from orchestrator.predict.passes import LocalPass, Pass
from orchestrator.predict.sources import open_source
from trainables.data.shards import TRAIN
from trainables.spec.interpolation import Resizing
from trainables.worker.score_subject import FEATURE_BATCH

LAYERS: Final = {"alexnet": "classifier.5", "resnet50": "flatten", "narrow-alexnet": "classifier.5"}
FILE_SIZE: Final = 425
SIZE: Final = 224
SAMPLE_SECONDS: Final = 0.25
DISTINCT: Final = 64
"""Different images; the others are copies of these."""


@dataclass(frozen=True)
class Cost:
    """Seconds of a step, of the clock and of all CPUs."""

    wall: float
    cpu: float


class Watch:
    """Measures the seconds from its start to its end, of this process and all its descendants.

    CPU times are sampled, so that a process that ends counts up to its last sample.
    """

    def __enter__(self) -> Self:
        self._start, self._first = time.perf_counter(), cpu_seconds_by_process(os.getpid())
        self._last = dict(self._first)
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample)
        self._sampler.start()
        return self

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self._last |= cpu_seconds_by_process(os.getpid())

    def __exit__(self, *_: object) -> None:
        wall = time.perf_counter() - self._start
        self._ended.set()
        self._sampler.join()
        self._last |= cpu_seconds_by_process(os.getpid())
        cpu = sum(one - self._first.get(pid, 0.0) for pid, one in self._last.items())
        self.cost = Cost(wall, cpu)


def main() -> None:
    """Measure and print the rates, CPU times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", choices=LAYERS, default="alexnet")
    parser.add_argument("--source", choices=("jpeg", "png", "shards"), default="jpeg")
    parser.add_argument("--images", type=int, default=384)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ray", action="store_true", help="over Ray, not in this process")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_model(home / "models", options.architecture, LAYERS[options.architecture], SIZE)
        write_images(home / "images", options.source, options.images)
        images = home / "images" / ("nsd-subj01" if options.source == "shards" else "")
        with Watch() as starting:
            passes = open_pass(ray=options.ray)
            command_cost(home, images, passes, FEATURE_BATCH[passes.device_type])
        bare, whole = [], []
        for _ in range(options.repeats):
            bare.append(backbone_cost(home / "models", images, passes))
            whole.append(further_cost(home, images, passes, options.images))
        reading = reading_cost(images)
    print(f"start, with one batch: {starting.cost.wall:.1f} s, {starting.cost.cpu:.1f} s of CPU")
    show(options, bare, whole, reading)


def open_pass(*, ray: bool) -> Pass:
    """Choose this process, or Ray, with the GPU or GPUs that there are."""
    if ray:
        from orchestrator.predict.ray_pass import RayPass

        return RayPass.connect(None)
    return LocalPass(torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def write_images(folder: Path, source: str, n_images: int) -> None:
    """Write images as files, or as a subject's shards."""
    if source == "shards":
        distinct = np.stack([render(compose(0, k), SIZE).transpose(2, 0, 1) for k in range(8)])
        pixels = np.tile(distinct, (-(-n_images // 8), 1, 1, 1))[:n_images]
        names = [f"image-{k:05d}" for k in range(n_images)]
        responses = np.zeros((n_images, 22), np.float32)
        order = np.arange(n_images)
        planted = PlantedRows(names, [TRAIN] * n_images, order, pixels, responses)
        write_subject(folder, "subj01", planted)
        return
    folder.mkdir()
    distinct_files = []
    for k in range(n_images):
        path = folder / f"image-{k:05d}.{source}"
        if k < DISTINCT:
            Image.fromarray(render(compose(0, k), FILE_SIZE)).save(path)
            distinct_files.append(path)
        else:
            os.link(distinct_files[k % DISTINCT], path)


def backbone_cost(models: Path, images: Path, passes: Pass) -> Cost:
    """Measure the backbone alone, over decoded images in memory."""
    [model] = find_models(models)
    device = torch.device(passes.device_type)
    reader = LayerReader(TensorFiles().backbone(model).to(device), [model.config.layer])
    batches = [batch for batch, _ in read_batches(images, FEATURE_BATCH[device.type])]
    reader.read(batches[0])
    with Watch() as watch:
        for batch in batches:
            features = reader.read(batch)[model.config.layer]
        features.cpu()  # waits for a GPU
    return watch.cost


def read_batches(images: Path, step: int) -> list[tuple[Tensor, range]]:
    """Read all images of a source in batches."""
    source = open_source(images)
    n_images = len(source.names)
    rows = [range(k, min(k + step, n_images)) for k in range(0, n_images, step)]
    return [(task.read().pixels, task.rows) for task in source.tasks(rows, Resizing(SIZE))]


def reading_cost(images: Path) -> Cost:
    """Measure reading and decoding alone, in one thread."""
    with Watch() as watch:
        read_batches(images, FEATURE_BATCH["cpu"])
    return watch.cost


def command_cost(home: Path, images: Path, passes: Pass, n_images: int) -> Cost:
    """Measure a prediction of the first n_images, from the start of the pass to the file."""
    models, source = find_models(home / "models"), open_source(images)
    out = home / "out.npy"
    job = Job(source, by_backbone(models), Parts.of(out, make_plan(models, None, n_images)))
    with Watch() as watch:
        job.run(passes)
        write_output(out, Contents(source.names[:n_images], models, lambda: job.read(models)))
    job.parts.remove()
    out.unlink()
    return watch.cost


def further_cost(home: Path, images: Path, passes: Pass, n_images: int) -> Cost:
    """Measure what three quarters of the images take beyond the first quarter."""
    few = command_cost(home, images, passes, n_images // 4)
    many = command_cost(home, images, passes, n_images)
    return Cost(many.wall - few.wall, many.cpu - few.cpu)


def show(options: argparse.Namespace, bare: list[Cost], whole: list[Cost], reading: Cost) -> None:
    """Print rates, CPU times per image, and ratios with their spread."""
    n, n_further = options.images, options.images - options.images // 4
    milliseconds = 1000 * reading.cpu / n
    rows = [
        ("backbone alone", [Cost(one.wall / n, one.cpu / n) for one in bare]),
        ("command", [Cost(one.wall / n_further, one.cpu / n_further) for one in whole]),
    ]
    where = "Ray" if options.ray else "one process"
    print(f"{options.architecture}, {options.source}, {where}, {n} images")
    for name, costs in rows:
        print(
            f"{name}: {spread([1 / one.wall for one in costs])} images/s, "
            f"{spread([1000 * one.cpu for one in costs])} ms of CPU per image"
        )
    print(f"reading and decoding: {milliseconds:.1f} ms of CPU per image")
    (_, alone), (_, command) = rows
    pairs = list(zip(alone, command, strict=True))
    print(f"ratio of the rates: {spread([b.wall / c.wall for b, c in pairs])}")
    with_reading = [(b.cpu + reading.cpu / n) / c.cpu for b, c in pairs]
    print(f"CPU time of backbone and reading / of the command: {spread(with_reading)}")


def spread(values: list[float]) -> str:
    """Format the median of repetitions, and the lowest and highest."""
    return f"{median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


if __name__ == "__main__":
    main()
