"""Where an image-classification task's images and labels are: ImageFolder, or torchvision's sets.

Nothing is downloaded: a folder on disk is read as it was unpacked.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import (
    IMAGE_SUFFIXES,
    Entries,
    archives_in,
    folders_below,
    is_image,
    is_stranger,
    left_out,
    list_entries,
    list_tree,
    obstacle,
    require_file,
)
from orchestrator.ingest.fingerprints import fingerprint
from orchestrator.ingest.layouts import require_layout
from orchestrator.ingest.settings import TaskFormat
from trainables.data.shards import TEST, TRAIN
from trainables.spec import digest

SPLIT_RULE: Final = "torch.randperm, seed 0: the first 85 % train"
CALTECH: Final = "256_ObjectCategories"
SIDES: Final = re.compile(
    r"(train|training|val|valid|validation|test|testing|eval|dev)([-_]?(set|split|data|images))?\d*",
    re.IGNORECASE,
)
"""Names of folders that hold one side of a split, each with all classes in it."""


@dataclass(frozen=True)
class TaskSource:
    """A task's images in their order, with labels, classes and sides."""

    root: Path
    images: tuple[Path, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What of the source was left out, and why."""
    source: str = ""
    """The digest of the source, where images of it were left out later."""

    @property
    def names(self) -> tuple[str, ...]:
        """Name each image by its path within the source."""
        return tuple(path.relative_to(self.root).as_posix() for path in self.images)

    @property
    def sides(self) -> tuple[str, ...]:
        """Assign images to training and test by SPLIT_RULE."""
        import torch  # seconds to import, and not for --help

        n_images = len(self.images)
        order = torch.randperm(n_images, generator=torch.Generator().manual_seed(0)).tolist()
        sides = [TEST] * n_images
        for row in order[: n_images * 85 // 100]:
            sides[row] = TRAIN
        return tuple(sides)

    @property
    def split_digest(self) -> str:
        """Digest the images' names, classes and sides."""
        return digest([self.names, self.labels, self.classes, self.sides])

    def digest(self) -> str:
        """Digest the source's files by name and content, so that a change is noticed."""
        if self.source:
            return self.source
        files = [fingerprint(path) for path in self.images]
        return digest([self.names, files, self.labels, self.classes])


def find_task(source: Path, kind: TaskFormat) -> TaskSource:
    """Find a task's images and labels; raise InputError with every problem."""
    require_layout(source, "task")
    found = _READERS[kind](source)
    complaints = [*name_problems(found), *class_problems(found)]
    if complaints:
        raise InputError(*complaints)
    return found


def name_problems(found: TaskSource) -> list[str]:
    """Complain of names that records can't hold, and of classes that other systems would merge."""
    lines = [
        f"{path}: its name is not UTF-8; give it another name"
        for path, name in zip(found.images, found.names, strict=True)
        if not _is_utf8(name)
    ]
    alike: dict[str, list[str]] = {}
    for name in found.classes:
        alike.setdefault(unicodedata.normalize("NFC", name).casefold().strip(), []).append(name)
    return lines + [
        f"{found.root}: classes {' and '.join(map(repr, names))} differ only in how their name is "
        "written, and are one folder on other systems; move their images into one of them, or "
        "give it another name"
        for names in alike.values()
        if len(names) > 1
    ]


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def class_problems(found: TaskSource) -> list[str]:
    """Complain of classes without images, or without training images."""
    if len(found.classes) < 2:
        inner = (path for path in folders_below(found.root) if _count_folders(path) > 1)
        better = next(map(str, inner), "the directory that holds the classes")
        return [
            f"{found.root}: expected one directory per class, at least two, found "
            f"{len(found.classes)}; {archives_in(found.root)}give {better}"
        ]
    in_all = Counter(found.labels)
    sides = zip(found.labels, found.sides, strict=True)
    training = Counter(label for label, side in sides if side == TRAIN)
    lines = []
    for label, name in enumerate(found.classes):
        if not in_all[label]:
            lines.append(
                f"{found.root}: class {name!r} has no image ({' '.join(IMAGE_SUFFIXES)}); add "
                "some, or remove it"
            )
        elif not training[label]:
            lines.append(
                f"{found.root}: class {name!r}: none of the {in_all[label]} images is among the "
                "85 % that train; add some, or remove it"
            )
    return lines


def _count_folders(folder: Path) -> int:
    return sum(path.is_dir() for path in list_entries(folder).kept)


def _image_folder(source: Path) -> TaskSource:
    """Read one directory per class, with images at any depth; classes and images by name."""
    return _read_folders(source, source, list_tree)


def _caltech256(source: Path) -> TaskSource:
    """Read Caltech-256 where torchvision unpacks it; deeper directories hold strays."""
    places = (source / "caltech256" / CALTECH, source / CALTECH)
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        raise InputError(f"{source}: expected {places[0]}, as Caltech256 unpacks; found none")
    return _read_folders(source, folder, list_entries)


def _read_folders(source: Path, parent: Path, look: Callable[[Path], Entries]) -> TaskSource:
    top = list_entries(parent)
    top.require_finished()
    _require_targets(top.kept)
    folders = [path for path in top.kept if path.is_dir()]
    names = [path.name for path in folders]
    if names and all(map(SIDES.fullmatch, names)):
        raise InputError(
            f"{parent}: holds {', '.join(names)}, not classes, and this program splits the task's "
            f"images itself; give one of these, such as {folders[-1]}"
        )
    images: list[Path] = []
    labels: list[int] = []
    strangers, others = [*top.strangers], [path for path in top.kept if is_image(path)]
    for label, folder in enumerate(folders):
        entries = look(folder)
        entries.require_finished()
        _require_targets(entries.kept)
        own = [path for path in entries.kept if is_image(path) and not path.is_dir()]
        images += own
        labels += [label] * len(own)
        strangers += entries.strangers
        others += [path for path in entries.kept if not is_image(path)]
    outside = [path for path in others if not path.is_dir()]
    notes = [*left_out(strangers), *left_out(outside, "no image by its ending, or in no class")]
    return TaskSource(source, tuple(images), tuple(labels), tuple(names), tuple(notes))


def _require_targets(paths: Sequence[Path]) -> None:
    """Raise InputError naming links that lead nowhere: they may be images or classes."""
    lines = [
        f"{path}: {problem[0]}; {problem[1]}"
        for path in paths
        if path.is_symlink() and not path.exists() and (problem := obstacle(path))
    ]
    if lines:
        raise InputError(*lines)


def _places365(source: Path) -> TaskSource:
    found = _torchvision(
        source, "val_256", "Places365", root=source, split="val", small=True, download=False
    )
    return _from_samples(source, found.imgs, found.classes)


def _imagenet(source: Path) -> TaskSource:
    found = _torchvision(source, "val", "ImageNet", root=source, split="val")
    classes = [names[0] if isinstance(names, tuple) else names for names in found.classes]
    return _from_samples(source, found.imgs, classes)


def _sun397(source: Path) -> TaskSource:
    found = _torchvision(source, "SUN397", "SUN397", root=source, download=False)
    samples = list(zip(found._image_files, found._labels, strict=True))
    return _from_samples(source, samples, found.classes)


def _from_samples(source: Path, samples: Any, classes: Any) -> TaskSource:
    listed = [(Path(path), int(label)) for path, label in samples]
    strangers = [
        path for path, _ in listed if any(map(is_stranger, path.relative_to(source).parts))
    ]
    ordered = sorted(pair for pair in listed if pair[0] not in set(strangers))
    paths, labels = zip(*ordered, strict=True) if ordered else ((), ())
    return TaskSource(
        source, tuple(paths), tuple(labels), tuple(map(str, classes)), tuple(left_out(strangers))
    )


def _torchvision(source: Path, expected: str, name: str, **options: Any) -> Any:
    """Open one of torchvision's data sets on disk, without a download."""
    from torchvision import datasets  # seconds to import

    for path in (*list_entries(source).kept, *list_entries(source / expected).kept):
        if not path.is_dir():
            require_file(path, "a part of the data set")  # torchvision would wait for a named pipe
    try:
        return getattr(datasets, name)(**options)
    except (RuntimeError, OSError, KeyError, ValueError) as error:
        reason = str(error).partition(". ")[0]  # what follows advises a download
        raise InputError(
            f"{source}: not torchvision's layout of {name} ({reason}); expected "
            f"{source / expected}, as torchvision.datasets.{name} unpacks it, or give "
            "--format imagefolder and a directory of classes"
        ) from error


_READERS: Final[dict[TaskFormat, Callable[[Path], TaskSource]]] = {
    "imagefolder": _image_folder,
    "caltech256": _caltech256,
    "places365": _places365,
    "imagenet": _imagenet,
    "sun397": _sun397,
}
