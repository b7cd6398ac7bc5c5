"""A small Algonauts folder of one subject with test images, for models of lh V1v and rh EBA."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orchestrator.submit.__main__ import main
from tests.builders.exported_models import Swept

N_TEST = 6
N_VERTICES = {"lh": 14, "rh": 12}
LABELS = {
    ("lh", "prf-visualrois"): [1] * 8 + [2] * 4 + [0] * 2,
    ("rh", "prf-visualrois"): [0] * 12,
    ("lh", "floc-bodies"): [0] * 14,
    ("rh", "floc-bodies"): [0] * 5 + [1] * 5 + [0] * 2,
    ("lh", "streams"): [0] * 4 + [1] * 8 + [0] * 2,
    ("rh", "streams"): [0] * 12,
}
"""lh: V1v 0 to 7, early 4 to 11, 12 and 13 in no ROI; rh: EBA 5 to 9."""
NAMES = {
    "prf-visualrois": {0: "Unknown", 1: "V1v", 2: "V1d"},
    "floc-bodies": {0: "Unknown", 1: "EBA"},
    "streams": {0: "Unknown", 1: "early"},
}
R: Mapping[str, Sequence[float | None]] = {
    "lh-V1v-tuned": (0.5, 0.5, 0.5, None, 0.5, 0.5, 0.5, 0.5),
    "lh-V1v-untuned": (0.4, 0.6, 0.5, None, 0.4, 0.4, 0.6, None),
    "lh-early": (0.3, 0.7, 0.6, None, 0.1, None, 0.2, -0.1),
    "rh-EBA": (0.1, 0.2, 0.3, 0.4, 0.5),
}
LH_CHOICE = (
    ["lh-V1v-tuned", "lh-V1v-untuned", "lh-V1v-tuned", "lh-V1v-tuned"]
    + ["lh-V1v-tuned", "lh-early", "lh-V1v-untuned", "lh-V1v-tuned"]
    + ["lh-early"] * 4
)
"""The model of each vertex of lh, by R: of vertices 2 and 3, both V1v models have the same r."""


@dataclass(frozen=True)
class ChallengeFolder:
    """A written folder, and the models that predict its test images."""

    source: Path
    models: Mapping[str, Path]
    """By the keys of R."""
    test_images: Path
    masks: Path

    @property
    def directory(self) -> Path:
        """The directory of all models."""
        return self.models["rh-EBA"].parent


def submit(
    folder: ChallengeFolder, out: Path, *more: str, fill: Sequence[str] = ("--fill", "zero")
) -> int:
    """Run the command on a folder; return its exit code."""
    places = ["--models", str(folder.directory), "--src", str(folder.source), "--out", str(out)]
    return main(["algonauts", *places, *fill, *more])


def write_challenge(home: Path, swept: Swept, layout: str = "subject-first") -> ChallengeFolder:
    """Write SRC and MODELS below home."""
    source = home / "src"
    images, masks = write_source(source, layout)
    return ChallengeFolder(source, _write_models(home / "models", swept), images, masks)


def write_source(
    source: Path,
    layout: str = "subject-first",
    all_labels: Mapping[tuple[str, str], Sequence[int]] = LABELS,
) -> tuple[Path, Path]:
    """Write test images and masks; return their folders.

    all_labels: of each hemisphere and family, one per vertex.
    """
    if layout == "split-first":
        parts = ("test_images", "training_images", "training_fmri", "roi_masks")
        images, _, _, masks = (source / part / "Subj1" for part in parts)
    else:
        images = source / "subj01" / "test_split" / "test_images"
        masks = source / "subj01" / "roi_masks"
    images.mkdir(parents=True)
    masks.mkdir(parents=True)
    pixels = np.random.default_rng(3).integers(0, 256, (N_TEST, 20, 18, 3)).astype(np.uint8)
    for row, one in enumerate(pixels):
        # stimulus numbers descend, so that only the order of the names is that of the rows
        Image.fromarray(one).save(images / f"test-{row + 1:04d}_nsd-{900 - row:05d}.png")
    for (hemisphere, family), labels in all_labels.items():
        np.save(masks / f"{hemisphere}.{family}_challenge_space.npy", np.array(labels))
    for family, names in NAMES.items():
        np.save(masks / f"mapping_{family}.npy", np.array(names, dtype=object))
    return images, masks


def _write_models(directory: Path, swept: Swept) -> dict[str, Path]:
    """Copy the exported models, with the r of R; the one of early is another copy of lh V1v's."""
    sources = {
        "lh-V1v-tuned": swept.model(swept.tuned, "lh-V1v"),
        "lh-V1v-untuned": swept.model(swept.untuned, "lh-V1v"),
        "lh-early": swept.model(swept.untuned, "lh-V1v"),
        "rh-EBA": swept.model(swept.untuned, "rh-EBA"),
    }
    models = {key: directory / key for key in sources}
    for key, path in models.items():
        shutil.copytree(sources[key], path)
        change_model(path, name=key)
        change_model(path, "vertices", r=R[key])
    change_model(models["lh-early"], "vertices", vertex=list(range(4, 12)))
    change_model(models["lh-early"], "roi", name="early")
    return models


def change_model(model: Path, section: str | None = None, **values: Any) -> None:
    """Change fields of a model's description, or of a section of it."""
    path = model / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    (content if section is None else content[section]).update(values)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_test_responses(
    folder: Path, predicted: Mapping[str, NDArray[np.float32]], subject: str = "subj01"
) -> Path:
    """Write test responses that correlate with predictions by various r, and noise ceilings."""
    rng = np.random.default_rng(8)
    for hemisphere, values in predicted.items():
        n_vertices = values.shape[1]
        scaled = values / np.maximum(values.std(axis=0), 1e-6)
        strengths = np.linspace(-1, 3, n_vertices)
        responses = strengths * scaled + rng.standard_normal(values.shape)
        ceiling = rng.uniform(0.3, 0.9, n_vertices)
        ceiling[0] = 0
        ceiling[-3] = 0.01
        home = folder / subject / "test_split"
        for part, name, array in (
            ("test_fmri", "test_fmri", responses.astype(np.float32)),
            ("noise_ceiling", "noise_ceiling", ceiling),
        ):
            (home / part).mkdir(parents=True, exist_ok=True)
            np.save(home / part / f"{hemisphere}_{name}.npy", array)
    return folder
