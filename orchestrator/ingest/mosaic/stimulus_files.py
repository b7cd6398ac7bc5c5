"""Where a data set's stimuli are on this machine: in folders of the user, or in NSD's own stack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from PIL import Image

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import is_image, list_entries, list_tree, require_folder
from orchestrator.ingest.image_places import ImagePlace, StackedImage, count_stacked
from orchestrator.ingest.mosaic.names import NSD, SubjectKey
from orchestrator.ingest.mosaic.stimulus_info import Stimulus
from trainables.wording import some

STACK: Final = "imgBrick"
"""The data set of nsd_stimuli.hdf5."""


@dataclass(frozen=True)
class _Index:
    """The images at any depth below a folder."""

    by_name: Mapping[str, list[Path]]
    by_stem: Mapping[str, list[Path]]

    def find(self, name: str) -> Sequence[Path]:
        """List the images that may be a stimulus: of its file's name, or else of its stem."""
        return self.by_name.get(Path(name).name) or self.by_stem.get(Path(name).stem) or ()


@dataclass(frozen=True)
class StimulusPlaces:
    """Where the stimuli of each data set are."""

    by_dataset: Mapping[str, Path]
    """By short name: a folder, or for NSD its nsd_stimuli.hdf5."""
    others: Path | None
    """Folder of those of all other data sets."""
    _indices: dict[Path, _Index] = field(default_factory=dict, repr=False, compare=False)

    def locate(self, key: SubjectKey, stimuli: Mapping[str, Stimulus]) -> dict[str, ImagePlace]:
        """Find the image of each stimulus, by the name of its file in MOSAIC.

        A file of another image format with the same stem counts too: some data sets show videos, of
        which the user saves a frame. Raises InputError naming what is missing or there twice.
        """
        place = self.of(key)
        if place.is_file():
            return _locate_in_stack(place, key, stimuli)
        if place not in self._indices:
            self._indices[place] = _index(place)
        return _locate_in_folder(place, self._indices[place], key, stimuli)

    def of(self, key: SubjectKey) -> Path:
        """Return the folder or file of a data set's stimuli; raise InputError where none is given.

        In a folder of several data sets, one that is named like the data set is its own.
        """
        given = self.by_dataset.get(key.dataset, self.others)
        if given is None:
            raise InputError(
                f"--stimuli: none given for {key.dataset}; give --stimuli {key.dataset}=DIR"
            )
        if given.is_file() and given.suffix in (".hdf5", ".h5") and key.dataset == NSD:
            return given
        require_folder(given)
        names = {name.lower() for name in (key.dataset, *key.long_names)}
        own = [path for path in list_entries(given).kept if path.name.lower() in names]
        return own[0] if own and own[0].is_dir() else given


def _locate_in_folder(
    place: Path, index: _Index, key: SubjectKey, stimuli: Mapping[str, Stimulus]
) -> dict[str, ImagePlace]:
    found = {name: index.find(name) for name in stimuli}
    missing = [name for name, paths in found.items() if not paths]
    lines = []
    if missing:
        frames = "" if any(map(is_image, map(Path, missing))) else " (of a video, save a frame)"
        lines.append(
            f"{place}: {len(missing):,} of {len(stimuli):,} images of {key.dataset} are missing, "
            f"such as {some(missing[:3])}; download them{frames}, or give another --stimuli "
            f"{key.dataset}=DIR"
        )
    lines += [
        f"{paths[0]}: stimulus {name} is also {', '.join(map(str, paths[1:]))}; give a folder "
        f"with one of them, by --stimuli {key.dataset}=DIR"
        for name, paths in found.items()
        if len(paths) > 1
    ]
    if lines:
        raise InputError(*lines)
    return {name: paths[0] for name, paths in found.items()}


def _index(folder: Path) -> _Index:
    entries = list_tree(folder)
    entries.require_finished()
    by_name: dict[str, list[Path]] = {}
    by_stem: dict[str, list[Path]] = {}
    for path in filter(is_image, entries.kept):
        by_name.setdefault(path.name, []).append(path)
        by_stem.setdefault(path.stem, []).append(path)
    return _Index(by_name, by_stem)


def _locate_in_stack(
    file: Path, key: SubjectKey, stimuli: Mapping[str, Stimulus]
) -> dict[str, ImagePlace]:
    n_images = count_stacked(file, STACK)
    outside = [
        name for name, one in stimuli.items() if one.nsd_row is None or one.nsd_row >= n_images
    ]
    if outside:
        raise InputError(
            f"{file}: {len(outside):,} stimuli of {key.name} are not among its {n_images:,} "
            f"images, such as {some(outside[:3])}; download it again, or for artificial stimuli "
            "give a folder, by --stimuli NSD=DIR"
        )
    return {name: StackedImage(file, STACK, one.nsd_row or 0) for name, one in stimuli.items()}


def check_square(images: Sequence[ImagePlace]) -> None:
    """Raise InputError where images of NSD are not squares: COCO's own images, not NSD's parts.

    Unreadable images are left to the check of all images.
    """
    wrong = [path for path in images if isinstance(path, Path) and not _is_square(path)]
    if wrong:
        raise InputError(
            f"{wrong[0].parent}: {len(wrong):,} of {len(images):,} images are not square, such as "
            f"{some([path.name for path in wrong[:3]])}: whole images of COCO, of which NSD showed "
            "a part; give NSD's nsd_stimuli.hdf5, by --stimuli NSD=FILE"
        )


def _is_square(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return image.width == image.height
    except Exception:  # a damaged header raises nearly anything
        return True
