"""A small copy of what the documentation's commands read: data, weights, and two sweeps."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file

from orchestrator.__main__ import main
from trainables.models.backbones import build

SIZE = 70
"""Width and height of the images: a multiple of 14, for vision transformers."""
MODEL = re.compile(r"(models/[\w-]+)-0123abcd")
"""A model's directory with the id that the pages have made up."""
SPACE = """
from trainables.spec import FROM_FILE, Backbone, Contrastive, Encoding, Regression, Trial, Untuned

BACKBONE = Backbone("narrow-alexnet", FROM_FILE)
ENCODING = Encoding(layers=("features.2", "features.5"), protocols=("nested", "paper"))
CONTRASTIVE = Contrastive(learning_rate=1e-3, batch_size=64, epochs=2)
REGRESSION = Regression(batch_size=64, epochs=2)


def trials(rois):
    for roi in rois:
        tuned = () if roi.name == "all" else (REGRESSION, CONTRASTIVE)
        for objective in (Untuned(), *tuned):
            yield Trial(objective, (roi,), BACKBONE, ENCODING)
"""
"""A search space with the methods that the pages compare."""


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Change the working directory for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


class DocumentedLab:
    """A working directory in which the commands of the pages find what they name."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, *words: str) -> int:
        """Run a command of the program here; return its exit code."""
        with working_in(self.home):
            return main(list(words))

    def must(self, *words: str) -> None:
        """Run a command of the program here, which has to succeed."""
        assert self.run(*words) == 0, words

    def python(self, block: str, names: dict[str, object]) -> None:
        """Run a block of Python here, with these names already defined."""
        with working_in(self.home):
            exec(compile(block, "block", "exec"), names)

    def with_own_names(self, block: str) -> str:
        """Put the models of this directory in the place of those that a page has made up."""

        def found(match: re.Match[str]) -> str:
            [model] = self.home.glob(f"{match[1]}-*")
            return model.relative_to(self.home).as_posix()

        return MODEL.sub(found, block).replace('["nsd"]', '["nsd-simulated"]')

    def make(self) -> None:
        """Simulate, ingest and sweep, without any page's help."""
        size = ("--image-size", str(SIZE))
        small = ("--subjects", "1,2", "--n-images", "120", *size)
        self.must("ingest", "simulate", "--out", "SRC", *small)
        sizes = ("--image-size", f"{SIZE},224")
        self.must("ingest", "algonauts", "SRC", "--out", "data", *sizes)
        (self.home / "algonauts2023").symlink_to("SRC")
        demo = self.home / "demo"
        demo.mkdir()
        torch.manual_seed(0)
        save_file(build("narrow-alexnet").state_dict(), demo / "weights.safetensors")
        (self.home / "lab_space.py").write_text(SPACE)
        rois = ("--rois", "V1v,hV4,all", "--weights", "demo/weights.safetensors", "--local")
        self.must("sweep", "lab_space.py", *rois)
        (demo / "data").symlink_to("../data")
        (demo / "runs").symlink_to("../runs")
        photos = self.home / "photos"
        photos.mkdir()
        for path in sorted((self.home / "SRC").rglob("test-*.png"))[:3]:
            shutil.copy(path, photos)
        Image.new("RGB", (50, 40), "grey").save(self.home / "photo.png")
