"""Measure what a trial waits for before its first step, without and after prefetching its files.

python -m benchmarks.prefetch [--images 500] [--repeats 3]

AlexNet on simulated subjects of 224 px and 6,000 vertices, in one process and thread, alternately.
*disk*: the files were dropped from the page cache; *memory*: they are in it. Each kind of trial is
read once without and once after prefetching; hashes of files count as unknown before either.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file

from benchmarks import small_shards
from trainables.compute.device import use_threads
from trainables.data import verification
from trainables.data.data_directory import DataDirectory
from trainables.models.backbones import build
from trainables.models.weights_name import weights_name
from trainables.results.epoch_report import EpochReport
from trainables.results.run_directory import RunDirectory
from trainables.spec import Backbone, Contrastive, Pooled, Roi, Trial, Untuned
from trainables.spec.evaluation import Evaluation, WorkItem
from trainables.storage import unchanged
from trainables.storage.atomic import hash_file
from trainables.training.checkpoint_notes import LAST, Note
from trainables.training.saved_state import BACKBONE_PREFIX
from trainables.worker.context import RunContext
from trainables.worker.prefetch import Prefetch
from trainables.worker.reading import TrialReader
from trainables.worker.subject_cache import SubjectCache

VERTICES: Final = {"lh": 3000, "rh": 3000}
AMPLE: Final = 2**40
CPU: Final = torch.device("cpu")


@dataclass(frozen=True)
class Cost:
    """What reading a trial took."""

    seconds: float
    cpu: float

    @classmethod
    def of(cls, do: Callable[[], object]) -> "Cost":
        """Measure a call."""
        start, cpu = time.perf_counter(), time.process_time()
        do()
        return cls(time.perf_counter() - start, time.process_time() - cpu)


@dataclass(frozen=True)
class Lab:
    """Three subjects, weights, and the checkpoint of a contrastive trial on the first subject."""

    context: RunContext
    backbone: Backbone
    rois: dict[str, list[Roi]]
    """By subject."""

    @classmethod
    def make(cls, home: Path, n_images: int) -> "Lab":
        """Write the files."""
        small_shards.N_VERTICES.update(VERTICES)
        names = ("subj01", "subj02", "subj03")
        listed = small_shards.write_shards(home / "data", names, n_images, image_size=224)
        rois = {name: [roi for roi in listed if roi.subject == name] for name in names}
        state = build("alexnet").state_dict()
        save_file(state, home / "weights.safetensors")
        backbone = Backbone("alexnet", weights_name(home / "weights.safetensors"))
        data, runs = DataDirectory(home / "data"), RunDirectory(home / "runs")
        lab = cls(RunContext(data, runs, home / "weights.safetensors"), backbone, rois)
        directory = lab.context.checkpoint(lab.model).path
        directory.mkdir(parents=True)
        file = directory / "epoch-0001.safetensors"
        save_file({BACKBONE_PREFIX + name: value for name, value in state.items()}, file)
        history = (EpochReport(1, 0.5, 0.1, 100.0),)
        note = Note(1, file.name, None, {file.name: hash_file(file)}, history)
        (directory / LAST).write_text(json.dumps(asdict(note)), encoding="utf-8")
        return lab

    @property
    def model(self) -> Trial:
        """The trial that runs before, on the first subject."""
        return Trial(Contrastive(), (self.rois["subj01"][0],), self.backbone)

    def kinds(self) -> dict[str, WorkItem]:
        """Return the trials to read, by what they read."""
        (_, first, *_), (second, *_), (third, *_) = self.rois.values()
        return {
            "contrastive, the subject before": replace(self.model, seed=1),
            "untuned, a new subject": Trial(Untuned(), (second,), self.backbone),
            "pooled, two new subjects": Trial(Pooled(), (second, third), self.backbone),
            "evaluation, the subject before": Evaluation(self.model, (first,)),
            "evaluation, a new subject": Evaluation(self.model, (second,)),
        }

    def measure(self, item: WorkItem, *, is_cold: bool, is_prefetched: bool) -> Cost:
        """Read a trial after the one before; count its reading alone."""
        context = self.context
        subjects = SubjectCache(context.data, CPU, None, context.runs.scratch)
        reader = TrialReader(context, CPU, subjects)
        reader.read(self.model)
        for name in [one for one in verification._digests if "subj01" not in one.path]:
            del verification._digests[name]
        for path in [one for one in unchanged._HASHES if one != context.weights_file]:
            del unchanged._HASHES[path]
        if is_cold:
            drop(file for file in context.data.path.parent.rglob("*") if file.is_file())
        if is_prefetched:
            Prefetch(context, self.model, subjects.image_sizes, AMPLE).run(lambda: item)
        if isinstance(item, Evaluation):
            return Cost.of(lambda: reader.read_finetuned(item))
        return Cost.of(lambda: reader.read(item))


def drop(files: Iterable[Path]) -> None:
    """Drop files from the page cache."""
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def main() -> None:
    """Print a row for each kind of trial."""
    parser = argparse.ArgumentParser(description="Measure what a trial waits for.")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    use_threads(1)
    with tempfile.TemporaryDirectory() as home:
        lab = Lab.make(Path(home), options.images)
        time.sleep(unchanged.SETTLED_SECONDS)
        print("| trial | files in | seconds | prefetched | CPU-s | prefetched |")
        print("|---|---|---|---|---|---|")
        for name, item in lab.kinds().items():
            for is_cold in (True, False):
                print(row(lab, name, item, options.repeats, is_cold=is_cold), flush=True)


def row(lab: Lab, name: str, item: WorkItem, repeats: int, *, is_cold: bool) -> str:
    """Measure one kind of trial alternately; format the least and the most of each figure."""
    costs: dict[bool, list[Cost]] = {False: [], True: []}
    for _ in range(repeats):
        for is_prefetched, found in costs.items():
            found.append(lab.measure(item, is_cold=is_cold, is_prefetched=is_prefetched))
    columns = [
        f"{min(values):.2f} to {max(values):.2f}"
        for values in (
            *([one.seconds for one in found] for found in costs.values()),
            *([one.cpu for one in found] for found in costs.values()),
        )
    ]
    return f"| {name} | {'disk' if is_cold else 'memory'} | {' | '.join(columns)} |"


if __name__ == "__main__":
    main()
