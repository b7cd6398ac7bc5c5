"""Find the files of NSD's ROI families, on a surface or in a volume.

::

    SRC/nsddata/freesurfer/subj01/label/{lh,rh}.NAME.mgz, NAME.mgz.ctab      native surface
    SRC/nsddata/freesurfer/fsaverage/label/{lh,rh}.NAME.mgz, NAME.mgz.ctab   some families only
    SRC/nsddata/ppdata/subj01/transforms/lh.white-to-fsaverage.mgz           for the others
    SRC/nsddata/ppdata/subj01/func1pt8mm/roi/{lh.,rh.,}NAME.nii.gz           volumes

A family is whatever has such a colour table: in the label folder, or in SRC/nsddata/templates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import lexists
from pathlib import Path
from typing import Final

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import list_entries
from trainables.spec.rois import HEMISPHERES, ROI_FAMILIES

DEFAULT_FAMILIES: Final = tuple(ROI_FAMILIES)
"""The families of the Algonauts packaging: those that are there are read by default."""
ALL: Final = "all"
_COLOURS: Final = ".ctab"


@dataclass(frozen=True)
class Family:
    """The files of one ROI family, any of which may be missing."""

    name: str
    names: Path
    """The colour table."""
    labels: Mapping[str, Path]
    """Of each hemisphere."""
    merged: Path | None = None
    """Labels of both hemispheres in one volume, where a hemisphere has no file of its own."""
    carried_by: Mapping[str, Path] | None = None
    """Of each hemisphere, the native vertices of fsaverage; None where labels are in the space."""

    def files(self) -> dict[str, Path]:
        """Name the files, to digest them."""
        named = {f"{self.name} names": self.names}
        named |= {f"{self.name} {side}": path for side, path in self.labels.items()}
        named |= {f"to fsaverage {side}": p for side, p in (self.carried_by or {}).items()}
        return named | ({f"{self.name} merged": self.merged} if self.merged else {})


def find_families(
    source: Path, subject: str, space: str, wanted: Sequence[str] | None
) -> tuple[Family, ...]:
    """Find the ROI families of a subject in a space.

    source: the folder of nsddata. subject: ``subj01`` …. space: fsaverage, nativesurface, or that
    of a volume, func1pt8mm or func1mm. wanted: names of families, or ALL of them; None for those of
    DEFAULT_FAMILIES that are there. Raises InputError when one, or any, is not there.
    """
    folders = _folders(source, subject, space)
    there = _families_in(source, subject, space)
    asked = list(dict.fromkeys(wanted or DEFAULT_FAMILIES))
    if ALL in asked:
        asked = sorted(there, key=_rank)
    missing = [name for name in asked if name not in there]
    if wanted and missing:
        raise InputError(
            *(
                f"{folders[0]}: ROI family {name} is not there, only {', '.join(sorted(there))}; "
                "download it, or leave it out of --families"
                for name in missing
            )
        )
    found = [there[name] for name in asked if name in there]
    if not found:
        raise InputError(
            f"{folders[0]}: expected ROI families such as prf-visualrois with a colour table "
            f"NAME.mgz.ctab, found {', '.join(sorted(there)) or 'none'}; download them, or choose "
            "by --families"
        )
    return tuple(found)


def _rank(name: str) -> tuple[int, str]:
    known = DEFAULT_FAMILIES
    return (known.index(name) if name in known else len(known), name)


def _folders(source: Path, subject: str, space: str) -> tuple[Path, ...]:
    """Return the folders of a space's labels, in the order in which they are searched."""
    native = source / "nsddata" / "freesurfer" / subject / "label"
    if space == "nativesurface":
        return (native,)
    if space == "fsaverage":
        return (source / "nsddata" / "freesurfer" / "fsaverage" / "label", native)
    return (source / "nsddata" / "ppdata" / subject / space / "roi",)


def _families_in(source: Path, subject: str, space: str) -> dict[str, Family]:
    """Find every family that has labels, and a colour table unless it is of DEFAULT_FAMILIES."""
    native = source / "nsddata" / "freesurfer" / subject / "label"
    folders = _folders(source, subject, space)
    tables = {name: native / f"{name}.mgz{_COLOURS}" for name in DEFAULT_FAMILIES}
    for folder in (source / "nsddata" / "templates", native, *reversed(folders)):
        found = [path for path in list_entries(folder).kept if path.name.endswith(_COLOURS)]
        tables |= {path.name.removesuffix(_COLOURS).removesuffix(".mgz"): path for path in found}
    families = (
        _on_surface(source, subject, name, table, folders)
        if space in ("fsaverage", "nativesurface")
        else _in_volume(name, table, folders[0])
        for name, table in tables.items()
    )
    return {family.name: family for family in families if family is not None}


def _on_surface(
    source: Path, subject: str, name: str, table: Path, folders: Sequence[Path]
) -> Family | None:
    for place, folder in enumerate(folders):
        labels = {side: folder / f"{side}.{name}.mgz" for side in HEMISPHERES}
        if any(lexists(path) for path in labels.values()):
            transforms = source / "nsddata" / "ppdata" / subject / "transforms"
            carried = {side: transforms / f"{side}.white-to-fsaverage.mgz" for side in HEMISPHERES}
            return Family(name, table, labels, carried_by=carried if place else None)
    return None


def _in_volume(name: str, table: Path, folder: Path) -> Family | None:
    labels = {side: folder / f"{side}.{name}.nii.gz" for side in HEMISPHERES}
    merged = folder / f"{name}.nii.gz"
    if any(lexists(path) for path in labels.values()):
        return Family(name, table, labels)
    return Family(name, table, {}, merged=merged) if lexists(merged) else None
