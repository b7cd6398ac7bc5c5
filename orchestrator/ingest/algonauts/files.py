"""Where an Algonauts 2023 folder keeps each of a subject's files, in either of its layouts.

Subject first, as the challenge packs it::

    SRC/subj01/training_split/training_images/train-0001_nsd-00013.png …
    SRC/subj01/training_split/training_fmri/{lh,rh}_training_fmri.npy
    SRC/subj01/roi_masks/{lh,rh}.prf-visualrois_challenge_space.npy, mapping_prf-visualrois.npy …

Split first, as some labs repack it: ``SRC/training_images/Subj1/``,
``SRC/training_fmri/Subj1/subj1_lh_training_fmri.npy``, ``SRC/roi_masks/Subj1/``. The challenge's
test images are in ``SRC/subj01/test_split/test_images/`` or ``SRC/test_images/Subj1/``.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from os.path import lexists
from pathlib import Path
from typing import Final

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import (
    archives_in,
    folders_below,
    list_entries,
    numbered_folders,
    one_of_each,
    refuse_nested,
)
from orchestrator.ingest.fingerprints import digest_files
from orchestrator.ingest.layouts import require_layout
from trainables.spec.rois import HEMISPHERES, ROI_FAMILIES

DATASET: Final = "nsd"
_SUBJECT: Final = re.compile(r"subj0*([1-9][0-9]*)", re.IGNORECASE)
_SPLIT_FIRST: Final = ("training_images", "training_fmri", "roi_masks")


@dataclass(frozen=True)
class SubjectFiles:
    """The paths of one subject's files, any of which may be missing."""

    subject: str
    """``subj01`` …, whatever the layout calls it."""
    images: Path
    """The folder of training images."""
    test_images: Path
    """The folder of the challenge's test images, which have no responses."""
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
        return len(list_entries(self.images).kept)

    def digest(self) -> str:
        """Digest the source's files by name and content."""
        named: dict[str, Path] = {f"responses {key}": path for key, path in self.responses.items()}
        named |= {f"mask {' '.join(key)}": path for key, path in self.masks.items()}
        named |= {f"mapping {key}": path for key, path in self.mappings.items()}
        named |= {f"mesh {key}": path for key, path in self.meshes.items()}
        named |= {f"noise ceiling {key}": path for key, path in self.noise_ceilings.items()}
        named |= {f"image {path.name}": path for path in list_entries(self.images).kept}
        more = [] if self.repeats is None else [f"repeats\t{self.repeats}"]
        return digest_files(named, *more)


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
    require_layout(source, "algonauts")
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
    return [_with_noise(find(number), noise_ceilings, repeats) for number in chosen]


def _recognise(source: Path) -> tuple[Collection[int], Callable[[int], SubjectFiles]]:
    """Return the numbers of the subjects, and the function that finds a subject's files."""
    by_subject = numbered_folders(source, _SUBJECT)
    by_split = {folder: numbered_folders(source / folder, _SUBJECT) for folder in _SPLIT_FIRST}
    in_splits = {number for folders in by_split.values() for number in folders}
    if by_subject and in_splits:
        raise InputError(
            f"{source}: holds both layouts (SRC/subj01/… and SRC/training_images/Subj1/…); "
            "move one of them elsewhere"
        )
    if by_subject:
        return by_subject, lambda number: _subject_first(by_subject[number], number)
    if in_splits:
        return in_splits, lambda number: _split_first(source, by_split, number)
    raise InputError(_unknown_layout(source))


def _unknown_layout(source: Path) -> str:
    problem = (
        f"{source}: expected SRC/subj01/training_split/… or SRC/training_images/Subj1/…, "
        "found neither"
    )
    if (source / "training_split").is_dir():
        return f"{problem}; this is one subject's folder: give {source.resolve().parent}"
    for inner in folders_below(source):
        if numbered_folders(inner, _SUBJECT) or (inner / _SPLIT_FIRST[0]).is_dir():
            return f"{problem}; give {inner}"
    return f"{problem}; {archives_in(source)}give the folder that holds the subjects"


def _subject_first(folder: Path, number: int) -> SubjectFiles:
    training = folder / "training_split"
    images, responses = training / "training_images", training / "training_fmri"
    masks = folder / "roi_masks"
    refuse_nested(folder, training, images, responses, masks)
    test_images = folder / "test_split" / "test_images"
    return _files(number, (images, test_images), responses, masks)


def _split_first(
    source: Path, folders: Mapping[str, Mapping[int, Path]], number: int
) -> SubjectFiles:
    usual = next(folders[part][number].name for part in _SPLIT_FIRST if number in folders[part])
    images, responses, masks = (
        folders[part].get(number, source / part / usual) for part in _SPLIT_FIRST
    )
    refuse_nested(*(source / part for part in _SPLIT_FIRST), images, responses, masks)
    test_images = source / "test_images" / usual
    return _files(number, (images, test_images), responses, masks)


def _files(number: int, images: tuple[Path, Path], responses: Path, masks: Path) -> SubjectFiles:
    """Name a subject's files, with the prefix ``subj1_`` where a repacked folder has it.

    images: the folders of training and of test images.
    """
    mask_paths = {
        (hemisphere, family): _file(masks, f"{hemisphere}.{family}_challenge_space.npy", number)
        for family in ROI_FAMILIES
        for hemisphere in HEMISPHERES
    }
    mappings = {family: _file(masks, f"mapping_{family}.npy", number) for family in ROI_FAMILIES}
    known = [
        family
        for family in ROI_FAMILIES
        if lexists(mappings[family]) or any(lexists(mask_paths[h, family]) for h in HEMISPHERES)
    ]
    meshes = {h: _file(masks, f"{h}.all-vertices_fsaverage_space.npy", number) for h in HEMISPHERES}
    return SubjectFiles(
        subject=f"subj{number:02d}",
        images=images[0],
        test_images=images[1],
        responses={h: _file(responses, f"{h}_training_fmri.npy", number) for h in HEMISPHERES},
        roi_masks=masks,
        masks={key: path for key, path in mask_paths.items() if key[1] in known},
        mappings={family: mappings[family] for family in known},
        meshes={hemisphere: path for hemisphere, path in meshes.items() if lexists(path)},
        noise_ceilings={},
    )


def _file(folder: Path, name: str, number: int) -> Path:
    """Find a file with or without a prefix; raise InputError when there are several."""
    names = (name, f"subj{number}_{name}", f"subj{number:02d}_{name}")
    there = [(name, folder / one) for one in dict.fromkeys(names) if lexists(folder / one)]
    return one_of_each(there, "the file").get(name, folder / name)


def _with_noise(
    files: SubjectFiles, folder: Path | None, repeats: tuple[int, ...] | None
) -> SubjectFiles:
    if folder is None:
        return files
    paths = {h: folder / files.subject / f"{h}.npy" for h in HEMISPHERES}
    return replace(files, noise_ceilings=paths, repeats=repeats)


def _listed(subjects: Collection[int]) -> str:
    return ", ".join(f"subj{number:02d}" for number in sorted(subjects))
