"""The command that simulates subjects or an image-classification task."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, get_args

from cyclopts import Parameter

from orchestrator.cli.arguments import File, Flag, NameList, NonNegativeInteger, PositiveInteger
from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import Subjects
from orchestrator.cli.text import count
from trainables.wording import meant

if TYPE_CHECKING:
    from orchestrator.ingest.simulate.algonauts import SimulationSettings
    from orchestrator.ingest.simulate.photographs import Photographs

AlgonautsLayout = Literal["subject-first", "split-first"]
Layout = Literal[AlgonautsLayout, "nsd", "nod", "mosaic", "folder", "imagefolder"]
MIN_PHOTOGRAPHS: Final = 100
"""Fewer make no training and test images worth a fine-tuning."""


@Parameter(name="*")
@dataclass(frozen=True)
class SimulationOptions:
    """Options of the simulation."""

    subjects: Annotated[Subjects, Parameter(show_default="1-3")] = (1, 2, 3)
    """Numbers and ranges such as 1,5-8; at most 8, or 9 in NOD's layout."""
    n_images: Annotated[
        PositiveInteger | None,
        Parameter(show_default="900, in NSD's layout 240, or all of --images but four"),
    ] = None
    """Images with responses per subject; in MOSAIC's layout, of which a subject takes 135 MB with
    its default, 200."""
    images: Annotated[Path | None, Parameter(metavar="DIR")] = None
    """Show these photographs, at any depth below DIR, to all subjects instead of procedural scenes;
    only early ROIs respond. Only for the Algonauts layouts."""
    image_size: Annotated[PositiveInteger, Parameter(metavar="PIXELS")] = 64
    """Width and height of the images."""
    shared: Annotated[
        NonNegativeInteger | None,
        Parameter(
            show_default="200, or two ninths of fewer images; a fifth in NSD's or MOSAIC's layout"
        ),
    ] = None
    """Images that all subjects share, in MOSAIC's layout the test images; not in NOD's layout,
    where subjects share none."""
    test_images: Annotated[PositiveInteger | None, Parameter(show_default="4")] = None
    """Images without responses per subject, as in the challenge's test split; Algonauts layouts
    only."""
    test_responses: Annotated[Path | None, Parameter(metavar="DIR")] = None
    """Also write the responses to the test images, and their noise ceilings, to this new directory,
    which `submit algonauts --test-responses` reads; Algonauts layouts only."""
    layout: Layout = "subject-first"
    """Layout of the files: Algonauts 2023 by subject or by split, NSD as released, NOD, MOSAIC, a
    folder of one's own, or an image-classification task with one directory per class."""
    spaces: Annotated[NameList | None, Parameter(show_default="fsaverage")] = None
    """Spaces of the betas, with --layout nsd: fsaverage, nativesurface, func1pt8mm, func1mm."""
    synthetic: Annotated[PositiveInteger | None, Parameter(metavar="N")] = None
    """Also write so many images of NSD-synthetic, a multiple of 32, with --layout nsd."""
    permute_responses: Flag = False
    """Shuffle the responses over images, as a negative control."""
    seed: NonNegativeInteger = 0
    """Seed of the simulation."""
    weights: File | None = None
    """Also pretrain the small backbone on the simulated image classes and write its weights to
    this .safetensors file (about two minutes)."""


@Parameter(name="*")
@dataclass(frozen=True)
class FolderOptions:
    """Options of the simulation of a folder of one's own; of no other layout."""

    presentations: PositiveInteger = 2
    """Presentations of each image, with --layout folder; above 2, every second image has one
    less."""
    sessions: PositiveInteger = 3
    """Sessions, with --layout folder."""
    undivided: Flag = False
    """Voxels without hemispheres, with --layout folder, instead of vertices of fsaverage."""


def simulate(
    *,
    out: Annotated[Path, Parameter(metavar="SRC", help="New or empty directory.")],
    options: SimulationOptions = SimulationOptions(),
    own: FolderOptions = FolderOptions(),
) -> None:
    """Write simulated subjects in the layout of Algonauts 2023, NSD, NOD, MOSAIC or one's own.

    Images are procedural or your own, and responses follow a known forward model. `algonauts`,
    `nsd`, `nod`, `mosaic` or `folder` reads them like real data. In the Algonauts layouts, the
    noise ceilings are in SRC/noise_ceilings.
    `--layout imagefolder` writes an image-classification task instead, which `task` reads.
    """
    _check(out, options)
    if options.layout == "imagefolder":
        _simulate_task(out, options)
    else:
        by_layout: dict[str, Callable[[Path, SimulationOptions], None]] = {
            "nsd": _simulate_nsd,
            "nod": _simulate_nod,
            "mosaic": _simulate_mosaic,
            "folder": partial(_simulate_folder, own=own),
        }
        by_layout.get(options.layout, _simulate_algonauts)(out, options)
        sys.stdout.write(f"{out}: {count(len(options.subjects), 'subject')} simulated\n")
        if options.test_responses is not None:
            sys.stdout.write(f"{options.test_responses}: their responses to the test images\n")
    if options.weights is not None:
        from orchestrator.ingest.simulate.pretrained_weights import make_weights

        make_weights(options.weights)
        sys.stdout.write(f"{options.weights}: weights of the small backbone\n")


def _check(out: Path, options: SimulationOptions) -> None:
    """Raise InputError for options that a layout lacks, or responses within the source."""
    given = {
        "--images": options.images,
        "--test-images": options.test_images,
        "--test-responses": options.test_responses,
    }
    extra = [name for name, value in given.items() if value is not None]
    if extra and options.layout not in get_args(AlgonautsLayout):
        raise InputError(f"{extra[0]}: not available with --layout {options.layout}; remove one")
    if options.spaces is not None and options.layout != "nsd":
        raise InputError(f"--spaces: not available with --layout {options.layout}; remove one")
    if options.synthetic is not None and options.layout != "nsd":
        raise InputError(f"--synthetic: not available with --layout {options.layout}; remove one")
    responses = options.test_responses
    if responses is not None and responses.resolve().is_relative_to(out.resolve()):
        raise InputError(
            f"--test-responses {responses}: expected a directory outside of {out}, which holds "
            "what is published; give another one"
        )


def _simulate_task(out: Path, options: SimulationOptions) -> None:
    from orchestrator.ingest.simulate.task import TaskSimulation, simulate_task

    if options.permute_responses or options.shared:
        raise InputError(
            "--layout imagefolder: a task has no responses and no subjects; remove "
            "--permute-responses and --shared"
        )
    n_images = options.n_images or TaskSimulation().n_images
    simulate_task(out, TaskSimulation(n_images, options.image_size, options.seed))
    sys.stdout.write(f"{out}: a task of {n_images} images simulated\n")


def _simulate_folder(out: Path, options: SimulationOptions, own: FolderOptions) -> None:
    from orchestrator.ingest.simulate.folder import FolderSimulation, simulate_folder

    if options.shared or options.permute_responses:
        raise InputError(
            "--layout folder: all subjects see all images, in the order of their presentations; "
            "remove --shared and --permute-responses"
        )
    settings = FolderSimulation(
        subjects=options.subjects,
        n_images=options.n_images or FolderSimulation().n_images,
        image_size=options.image_size,
        repeats=own.presentations,
        sessions=own.sessions,
        hemispheres=not own.undivided,
        seed=options.seed,
    )
    simulate_folder(out, settings)


def _simulate_nod(out: Path, options: SimulationOptions) -> None:
    from orchestrator.ingest.simulate.nod import simulate_nod
    from orchestrator.ingest.simulate.nod_ground_truth import NodSimulation

    if options.shared:
        raise InputError(
            f"--shared {options.shared}: subjects share no images in NOD's layout; remove --shared"
        )
    settings = NodSimulation(
        subjects=options.subjects,
        n_images=options.n_images or NodSimulation().n_images,
        image_size=options.image_size,
        permute_responses=options.permute_responses,
        seed=options.seed,
    )
    simulate_nod(out, settings)


def _simulate_mosaic(out: Path, options: SimulationOptions) -> None:
    from orchestrator.ingest.simulate.mosaic import simulate_mosaic
    from orchestrator.ingest.simulate.mosaic_ground_truth import MosaicSimulation

    n_images = options.n_images or MosaicSimulation().n_images
    settings = MosaicSimulation(
        subjects=options.subjects,
        n_images=n_images,
        n_shared=n_images // 5 if options.shared is None else options.shared,
        image_size=options.image_size,
        permute_responses=options.permute_responses,
        seed=options.seed,
    )
    simulate_mosaic(out, settings)


def _simulate_nsd(out: Path, options: SimulationOptions) -> None:
    from orchestrator.ingest.nsd.settings import SpaceName
    from orchestrator.ingest.simulate.nsd import simulate_nsd
    from orchestrator.ingest.simulate.nsd_ground_truth import NsdSimulation

    n_images = options.n_images or NsdSimulation().n_images
    spaces = NsdSimulation().spaces if options.spaces is None else options.spaces
    strange = sorted(set(spaces) - set(get_args(SpaceName)))
    if strange:
        raise InputError(
            f"--spaces: unknown {', '.join(map(repr, strange))}; expected some of "
            f"{', '.join(get_args(SpaceName))}{meant(strange[0], get_args(SpaceName))}"
        )
    settings = NsdSimulation(
        subjects=options.subjects,
        n_images=n_images,
        n_shared=n_images // 5 if options.shared is None else options.shared,
        image_size=options.image_size,
        permute_responses=options.permute_responses,
        seed=options.seed,
        spaces=tuple(name for name in get_args(SpaceName) if name in spaces),
        n_synthetic=options.synthetic or 0,
    )
    simulate_nsd(out, settings)


def _simulate_algonauts(out: Path, options: SimulationOptions) -> None:
    from orchestrator.ingest.simulate.algonauts import SimulationSettings
    from orchestrator.ingest.simulate.algonauts import simulate as simulate_algonauts

    settings = SimulationSettings(
        subjects=options.subjects,
        image_size=options.image_size,
        layout="split-first" if options.layout == "split-first" else "subject-first",
        permute_responses=options.permute_responses,
        seed=options.seed,
        n_test_images=options.test_images or SimulationSettings().n_test_images,
    )
    photographs = None
    if options.images is not None:
        settings, photographs = _with_photographs(settings, options.images, options)
    else:
        n_images = options.n_images or settings.n_images
        n_shared = min(200, n_images * 2 // 9) if options.shared is None else options.shared
        settings = replace(settings, n_images=n_images, n_shared=n_shared)
    simulate_algonauts(out, settings, photographs)
    if options.test_responses is not None:
        from orchestrator.ingest.simulate.challenge_responses import write_challenge_responses

        write_challenge_responses(options.test_responses, settings, photographs)


def _with_photographs(
    settings: "SimulationSettings", folder: Path, options: SimulationOptions
) -> tuple["SimulationSettings", "Photographs"]:
    """Show the photographs of a folder to every subject; raise InputError if they are too few."""
    from orchestrator.ingest.simulate.photographs import find_photographs

    n_test = settings.n_test_images
    limit = None if options.n_images is None else options.n_images + n_test
    found = find_photographs(folder, limit)
    n_images = len(found.paths) - n_test
    if options.shared is not None:
        raise InputError("--shared: all subjects see all photographs of --images; remove --shared")
    if n_images < MIN_PHOTOGRAPHS or (options.n_images or 0) > n_images:
        asked = max(MIN_PHOTOGRAPHS, options.n_images or 0) + n_test
        raise InputError(
            f"--images {folder}: expected at least {asked} photographs ({n_test} of them without "
            f"responses, as in the challenge), found {len(found.paths)}"
        )
    photographs = found.digest
    return replace(settings, n_images=n_images, n_shared=n_images, photographs=photographs), found
