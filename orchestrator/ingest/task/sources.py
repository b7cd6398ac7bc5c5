"""Where an image-classification task's images and labels are: ImageFolder, or torchvision's sets.

Nothing is downloaded: a folder on disk is read as it was unpacked.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.cli.errors import InputError
from orchestrator.ingest.settings import TaskFormat
from trainables.data.shards import TEST, TRAIN
from trainables.spec import digest

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".webp", ".tif", ".tiff")
SPLIT_RULE: Final = "torch.randperm, seed 0: the first 85 % train"
CALTECH: Final = "256_ObjectCategories"
SIDES: Final = frozenset({"train", "val", "valid", "validation", "test"})


@dataclass(frozen=True)
class TaskSource:
    """A task's images in their order, with labels, classes and sides."""

    root: Path
    images: tuple[Path, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]

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
        """Digest the source's files by name and size, so that a change is noticed."""
        sizes = [path.stat().st_size for path in self.images]
        return digest([self.names, sizes, self.labels, self.classes])


def find_task(source: Path, kind: TaskFormat) -> TaskSource:
    """Find a task's images and labels; raise InputError with every problem."""
    if not source.is_dir():
        raise InputError(f"{source}: no such directory; give the folder that holds the images")
    found = _READERS[kind](source)
    complaints = _complaints(found)
    if complaints:
        raise InputError(*complaints)
    return found


def _complaints(found: TaskSource) -> list[str]:
    if len(found.classes) < 2:
        return [
            f"{found.root}: expected one directory per class, at least two, found "
            f"{len(found.classes)}; give the directory that holds the classes"
        ]
    in_all = Counter(found.labels)
    sides = zip(found.labels, found.sides, strict=True)
    training = Counter(label for label, side in sides if side == TRAIN)
    lines = []
    for label, name in enumerate(found.classes):
        if not in_all[label]:
            lines.append(
                f"{found.root}: class {name} has no image ({' '.join(SUFFIXES)}); add some, or "
                "remove it"
            )
        elif not training[label]:
            lines.append(
                f"{found.root}: class {name}: none of the {in_all[label]} images is among the "
                "85 % that train; add some, or remove it"
            )
    return lines


def _image_folder(source: Path) -> TaskSource:
    """Read one directory per class, with images at any depth; classes and images by name."""
    return _read_folders(source, source, "**/*")


def _caltech256(source: Path) -> TaskSource:
    """Read Caltech-256 where torchvision unpacks it; deeper directories hold strays."""
    places = (source / "caltech256" / CALTECH, source / CALTECH)
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        raise InputError(f"{source}: expected {places[0]}, as Caltech256 unpacks; found none")
    return _read_folders(source, folder, "*")


def _read_folders(source: Path, parent: Path, pattern: str) -> TaskSource:
    folders = sorted(path for path in parent.iterdir() if path.is_dir() and path.name[0] != ".")
    names = [path.name for path in folders]
    if names and set(names) <= SIDES:
        raise InputError(
            f"{parent}: holds {', '.join(names)}, not classes; give one of these, such as "
            f"{folders[-1]}: this program splits the task's images itself"
        )
    images: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        found = folder.glob(pattern)
        own = sorted(path for path in found if path.suffix.lower() in SUFFIXES and path.is_file())
        images += own
        labels += [label] * len(own)
    return TaskSource(source, tuple(images), tuple(labels), tuple(names))


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
    ordered = sorted((Path(path), int(label)) for path, label in samples)
    paths, labels = zip(*ordered, strict=True) if ordered else ((), ())
    return TaskSource(source, tuple(paths), tuple(labels), tuple(map(str, classes)))


def _torchvision(source: Path, expected: str, name: str, **options: Any) -> Any:
    """Open one of torchvision's data sets on disk, without a download."""
    from torchvision import datasets  # seconds to import

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
