"""Where an Algonauts 2023 folder keeps each of a subject's files, in either of its layouts.

Subject first, as the challenge packs it::

    SRC/subj01/training_split/training_images/train-0001_nsd-00013.png …
    SRC/subj01/training_split/training_fmri/{lh,rh}_training_fmri.npy
    SRC/subj01/roi_masks/{lh,rh}.prf-visualrois_challenge_space.npy, mapping_prf-visualrois.npy …

Split first, as some labs repack it: ``SRC/training_images/Subj1/``,
``SRC/training_fmri/Subj1/subj1_lh_training_fmri.npy``, ``SRC/roi_masks/Subj1/``.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from orchestrator.cli.errors import InputError
from trainables.spec.rois import HEMISPHERES, ROI_FAMILIES
from trainables.storage.atomic import hash_file

DATASET: Final = "nsd"
SMALL_FILE: Final = 4 << 20
"""Masks and mappings are below this many bytes: they are compared by content, not by size."""
IMAGE_SUFFIXES: Final = (".png", ".JPEG", ".jpeg", ".jpg")
_SUBJECT: Final = re.compile(r"subj0*([1-9]\d*)", re.IGNORECASE)
_SPLIT_FIRST: Final = ("training_images", "training_fmri", "roi_masks")


@dataclass(frozen=True)
class SubjectFiles:
    """The paths of one subject's files, any of which may be missing."""

    subject: str
    """``subj01`` …, whatever the layout calls it."""
    images: Path
    """The folder of training images."""
    responses: Mapping[str, Path]
    """Of each hemisphere."""
    roi_masks: Path
    """The folder of masks."""
    masks: Mapping[tuple[str, str], Path]
    """Of each (hemisphere, ROI family), for the families that this folder knows."""
    mappings: Mapping[str, Path]
    """Of each ROI family."""
    meshes: Mapping[str, Path]
    """Which fsaverage vertices are the columns of each hemisphere that has this optional file."""
    noise_ceilings: Mapping[str, Path]
    """Of each hemisphere; empty where none was asked for."""
    repeats: tuple[int, ...] | None = None
    """Where noise ceilings are given as ncsnr: images by 1, 2, 3 … trials."""

    @property
    def shard(self) -> str:
        """Name the directory that this subject is written to."""
        return f"{DATASET}-{self.subject}"

    def count_images(self) -> int:
        """Count the images to check, for the progress bar."""
        return sum(1 for _ in self.images.iterdir()) if self.images.is_dir() else 0

    def digest(self) -> str:
        """Digest the source: names and sizes of the large files, content of the small ones."""
        named: dict[str, Path] = {f"responses {key}": path for key, path in self.responses.items()}
        named |= {f"mask {' '.join(key)}": path for key, path in self.masks.items()}
        named |= {f"mapping {key}": path for key, path in self.mappings.items()}
        named |= {f"mesh {key}": path for key, path in self.meshes.items()}
        named |= {f"noise ceiling {key}": path for key, path in self.noise_ceilings.items()}
        if self.images.is_dir():
            named |= {f"image {path.name}": path for path in self.images.iterdir()}
        lines = [f"{name}\t{fingerprint(path)}\n" for name, path in sorted(named.items())]
        if self.repeats is not None:
            lines.append(f"repeats\t{self.repeats}\n")
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def fingerprint(path: Path) -> str:
    """Identify an image or a large file by its size, a small file by its content."""
    if not path.is_file():
        return "absent"
    size = path.stat().st_size
    by_size = path.suffix in IMAGE_SUFFIXES or size > SMALL_FILE
    return str(size) if by_size else hash_file(path)


def find_subjects(
    source: Path,
    wanted: Collection[int] | None,
    noise_ceilings: Path | None,
    repeats: tuple[int, ...] | None = None,
) -> list[SubjectFiles]:
    """Find the subjects of a folder, in either layout; wanted: their numbers, or None for all.

    repeats: images by 1, 2, 3 … trials, where noise_ceilings holds ncsnr.
    Raises InputError when the folder has neither layout (or both), or lacks a wanted subject.
    """
    if not source.is_dir():
        found = "a file" if source.exists() else "nothing"
        raise InputError(
            f"{source}: expected the folder of the data set, found {found} there; give another SRC"
        )
    subjects, find = _recognise(source)
    missing = sorted(set(wanted or ()) - set(subjects))
    if missing:
        raise InputError(
            *(
                f"{source}: subject {number} is not there, only {_listed(subjects)}; "
                "download it, or leave it out of --subjects"
                for number in missing
            )
        )
    chosen = sorted(wanted or subjects)
    return [
        _with_noise(find(number, subjects[number]), noise_ceilings, repeats) for number in chosen
    ]


def _recognise(source: Path) -> tuple[dict[int, str], Callable[[int, str], SubjectFiles]]:
    """Return {number: folder name} of the subjects, and the function that finds their files."""
    by_subject = _subject_folders(source)
    by_split = {
        number: name
        for folder in reversed(_SPLIT_FIRST)
        for number, name in _subject_folders(source / folder).items()
    }
    if by_subject and by_split:
        raise InputError(
            f"{source}: holds both layouts (SRC/subj01/… and SRC/training_images/Subj1/…); "
            "move one of them elsewhere"
        )
    if by_subject:
        return by_subject, lambda number, name: _subject_first(source / name, number)
    if by_split:
        return by_split, lambda number, name: _split_first(source, name, number)
    raise InputError(_unknown_layout(source))


def _unknown_layout(source: Path) -> str:
    problem = (
        f"{source}: expected SRC/subj01/training_split/… or SRC/training_images/Subj1/…, "
        "found neither"
    )
    if (source / "training_split").is_dir():
        return f"{problem}; this is one subject's folder: give {source.resolve().parent}"
    for inner in sorted(path for path in source.iterdir() if path.is_dir()):
        if _subject_folders(inner) or (inner / _SPLIT_FIRST[0]).is_dir():
            return f"{problem}; give {inner}"
    return f"{problem}; give the folder that holds the subjects"


def _subject_folders(folder: Path) -> dict[int, str]:
    """Find the folders subj01, Subj1 … in a folder, by number."""
    names = (
        sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    )
    matches = [(match, name) for name in names if (match := _SUBJECT.fullmatch(name))]
    return {int(match[1]): name for match, name in matches}


def _subject_first(folder: Path, number: int) -> SubjectFiles:
    training = folder / "training_split"
    return _files(
        number, training / "training_images", training / "training_fmri", folder / "roi_masks"
    )


def _split_first(source: Path, name: str, number: int) -> SubjectFiles:
    images, responses, masks = (source / folder / name for folder in _SPLIT_FIRST)
    return _files(number, images, responses, masks)


def _files(number: int, images: Path, responses: Path, masks: Path) -> SubjectFiles:
    """Name a subject's files, with the prefix ``subj1_`` where a repacked folder has it."""
    mask_paths = {
        (hemisphere, family): _file(masks, f"{hemisphere}.{family}_challenge_space.npy", number)
        for family in ROI_FAMILIES
        for hemisphere in HEMISPHERES
    }
    mappings = {family: _file(masks, f"mapping_{family}.npy", number) for family in ROI_FAMILIES}
    known = [
        family
        for family in ROI_FAMILIES
        if mappings[family].exists() or any(mask_paths[h, family].exists() for h in HEMISPHERES)
    ]
    meshes = {h: _file(masks, f"{h}.all-vertices_fsaverage_space.npy", number) for h in HEMISPHERES}
    return SubjectFiles(
        subject=f"subj{number:02d}",
        images=images,
        responses={h: _file(responses, f"{h}_training_fmri.npy", number) for h in HEMISPHERES},
        roi_masks=masks,
        masks={key: path for key, path in mask_paths.items() if key[1] in known},
        mappings={family: mappings[family] for family in known},
        meshes={hemisphere: path for hemisphere, path in meshes.items() if path.exists()},
        noise_ceilings={},
    )


def _file(folder: Path, name: str, number: int) -> Path:
    for prefix in (f"subj{number}_", f"subj{number:02d}_"):
        if (folder / f"{prefix}{name}").exists():
            return folder / f"{prefix}{name}"
    return folder / name


def _with_noise(
    files: SubjectFiles, folder: Path | None, repeats: tuple[int, ...] | None
) -> SubjectFiles:
    if folder is None:
        return files
    paths = {h: folder / files.subject / f"{h}.npy" for h in HEMISPHERES}
    return replace(files, noise_ceilings=paths, repeats=repeats)


def _listed(subjects: Collection[int]) -> str:
    return ", ".join(f"subj{number:02d}" for number in sorted(subjects))
