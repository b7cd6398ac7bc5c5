"""Read a data set's folders into shards, or simulate such folders.

python -m orchestrator.ingest algonauts SRC --out DATA
python -m orchestrator.ingest nod SRC --out DATA --atlas FILE
python -m orchestrator.ingest task SRC --out DATA --name NAME
python -m orchestrator.ingest simulate --out SRC
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from orchestrator.cli.arguments import ANYWHERE, directory, positive_integer
from orchestrator.cli.errors import InputError
from orchestrator.cli.process import run
from orchestrator.cli.selection import subjects_argument
from orchestrator.ingest.settings import TOP, ZSCORES
from orchestrator.ingest.splits import SPLITS
from orchestrator.ingest.task.sources import FORMATS

ALGONAUTS = """\
Read an Algonauts 2023 (NSD) folder, in either of its layouts, into one directory of shards a
subject. Everything is checked first: whatever is wrong in the source is listed, each complaint
with its file and its cure, and nothing is written. A subject that is already there is skipped;
a run that was stopped leaves no half-written subject, and the same command goes on.
"""
NOD = """\
Read a NOD folder (OpenNeuro ds004496: derivatives/ciftify, stimuli, events) into one directory of
shards a subject. Betas are z-scored within each run; of V1, V2, V3 and V4 in each hemisphere the
vertices of the highest pRF R² are kept. Everything is checked first, as for `algonauts`.
"""
TASK = """\
Read an image-classification data set into shards, DATA/tasks/NAME: a directory of images a class,
or one of torchvision's data sets as it lies on disk; nothing is downloaded. An image's shorter side
is resized to 256/224 of the image size, and the centre is cut out. 85 % of the images train.
Everything is checked first, as for `algonauts`.
"""
SIMULATE = """\
Write simulated subjects in the layout of the Algonauts 2023 files, or of NOD: procedural images,
and responses that follow a stated model. They are read by `algonauts` or `nod` like the real ones.
In the Algonauts layouts, their noise ceilings are in OUT/noise_ceilings. `--layout imagefolder`
writes an image-classification task instead, a directory a class, for `task` to read.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for bad input)."""
    options = _parser().parse_args(arguments)
    body = {"algonauts": _algonauts, "nod": _nod, "task": _task, "simulate": _simulate}[
        options.command
    ]
    return run(lambda: body(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.ingest",
        description="Turn a data set's folders into the shards that sweeps read.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_algonauts(
        commands.add_parser(
            "algonauts",
            help="read an Algonauts 2023 (NSD) folder into shards",
            description=ALGONAUTS,
        )
    )
    _add_nod(commands.add_parser("nod", help="read a NOD folder into shards", description=NOD))
    _add_task(
        commands.add_parser(
            "task", help="read an image-classification data set into shards", description=TASK
        )
    )
    _add_simulate(
        commands.add_parser(
            "simulate",
            help="write simulated subjects in the Algonauts layouts or NOD's",
            description=SIMULATE,
        )
    )
    return parser


def _add_algonauts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        type=Path,
        metavar="SRC",
        help="the folder that holds subj01, subj02 … or training_images, training_fmri, roi_masks",
    )
    _add_decisions(parser)
    _add_noise(parser)


def _add_nod(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        type=Path,
        metavar="SRC",
        help="the folder that holds derivatives, stimuli and sub-01 …",
    )
    _add_decisions(parser)
    parser.add_argument(
        "--atlas",
        type=Path,
        metavar="FILE",
        help="HCP-MMP labels as .dlabel.nii or .mat (default: the only *MMP* or *glasser* file of "
        "that kind in SRC, SRC/atlas, SRC/supportfiles or SRC/derivatives/ciftify)",
    )
    parser.add_argument(
        "--top",
        type=positive_integer,
        default=TOP,
        metavar="N",
        help="vertices to keep of each ROI and hemisphere, by the pRF's R², all where there are "
        f"fewer (default: {TOP})",
    )
    parser.add_argument(
        "--zscore",
        choices=ZSCORES,
        default="run",
        help="run: each vertex within each run; run-matrix: all vertices of a run by one mean and "
        "deviation, as the published code does (default: run)",
    )
    parser.add_argument(
        "--sessions",
        type=subjects_argument,
        metavar="LIST",
        help="ImageNet sessions to read, such as 1-4 (default: those of 1-4 that are there)",
    )


def _add_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        type=Path,
        metavar="SRC",
        help="the folder that holds the classes, or the data set",
    )
    parser.add_argument(
        "--out", type=directory, required=True, metavar="DATA", help="as of the subjects"
    )
    parser.add_argument("--name", required=True, metavar="NAME", help="what the task is called")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="imagefolder",
        help="imagefolder: a directory a class; the others as torchvision unpacks them (places365: "
        "the small images of val, imagenet: val) (default: imagefolder)",
    )
    _add_cpus(parser)
    _add_image_size(parser, "width and height of the images, after the cut (default: 224)")


def _add_noise(parser: argparse.ArgumentParser) -> None:
    """Add where noise ceilings come from."""
    parser.add_argument(
        "--noise-ceiling",
        type=Path,
        metavar="DIR",
        help="DIR/subj01/lh.npy, rh.npy …: for each vertex the highest r that a perfect model "
        "could reach (default: none)",
    )
    parser.add_argument(
        "--ncsnr",
        type=Path,
        metavar="DIR",
        help="DIR/subj01/lh.npy, rh.npy …: NSD's ncsnr of each vertex instead, to compute the "
        "noise ceiling from; needs --repeats",
    )
    parser.add_argument(
        "--repeats",
        metavar="LIST",
        help="trials that each response is the mean of, such as 3; or how many images were shown "
        "once, twice, three times …, such as 600,900,7341",
    )


def _add_decisions(parser: argparse.ArgumentParser) -> None:
    """Add what every kind of source is asked."""
    parser.add_argument(
        "--out",
        type=directory,
        required=True,
        metavar="DATA",
        help=f"where the shards go, {ANYWHERE}: DATA/nsd-subj01, DATA/nod-sub-01 …",
    )
    parser.add_argument(
        "--subjects",
        type=subjects_argument,
        metavar="LIST",
        help="numbers and ranges such as 1,5-8 (default: every subject in SRC)",
    )
    _add_cpus(parser)
    parser.add_argument(
        "--split",
        choices=SPLITS,
        default="stimulus",
        help="stimulus: an image tests for every subject or for none, by the hash of its id, "
        "15%% of them; paper: the published seeded permutation of each subject's images, "
        "85%% to train (default: stimulus)",
    )
    _add_image_size(
        parser, "width and height that images are resized to, without a crop (default: 224)"
    )


def _add_cpus(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cpus",
        type=positive_integer,
        metavar="N",
        help="CPUs of the local Ray; with RAY_ADDRESS set, that cluster is used "
        "(default: all of this machine)",
    )


def _add_image_size(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument(
        "--image-size", type=positive_integer, default=224, metavar="PIXELS", help=text
    )


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, required=True, metavar="SRC", help="a new or empty directory"
    )
    parser.add_argument(
        "--subjects",
        type=subjects_argument,
        default=(1, 2, 3),
        metavar="LIST",
        help="numbers and ranges such as 1,5-8, at most 8, 9 with NOD's layout (default: 1-3)",
    )
    for flag, default, text in (
        ("--images", 900, "images with responses, for each subject"),
        ("--image-size", 64, "width and height of the images in pixels"),
    ):
        parser.add_argument(
            flag, type=positive_integer, default=default, metavar="N", help=f"{text} ({default})"
        )
    parser.add_argument(
        "--shared",
        type=int,
        metavar="N",
        help="how many of its images every subject sees (default: 200, or two ninths of fewer; "
        "in NOD's layout no subject sees another's)",
    )
    parser.add_argument(
        "--layout",
        choices=("subject-first", "split-first", "nod", "imagefolder"),
        default="subject-first",
    )
    parser.add_argument(
        "--permute-responses",
        action="store_true",
        help="give each image the response to another: the negative control",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="also pretrain the small backbone on the simulation's image classes, and write its "
        "weights here (.safetensors; about two minutes)",
    )


def _algonauts(options: argparse.Namespace) -> None:
    from orchestrator.ingest.run import ingest_algonauts
    from orchestrator.ingest.settings import Settings

    ceilings, repeats = _noise(options)
    settings = Settings(options.split, options.image_size)
    ingest_algonauts(
        options.source,
        options.out,
        settings,
        subjects=options.subjects,
        noise_ceilings=ceilings,
        repeats=repeats,
        num_cpus=options.cpus,
    )


def _nod(options: argparse.Namespace) -> None:
    from orchestrator.ingest.nod.files import find_subjects
    from orchestrator.ingest.run import ingest_nod
    from orchestrator.ingest.settings import NodChoices, Settings

    files = find_subjects(options.source, options.subjects, options.sessions, options.atlas)
    choices = NodChoices(options.top, options.zscore, options.sessions)
    settings = Settings(options.split, options.image_size)
    ingest_nod(files, options.out, settings, choices, options.cpus)


def _task(options: argparse.Namespace) -> None:
    from orchestrator.ingest.task.run import ingest_task

    ingest_task(
        options.source,
        options.out,
        options.name,
        options.format,
        options.image_size,
        options.cpus,
    )


def _noise(options: argparse.Namespace) -> tuple[Path | None, tuple[int, ...] | None]:
    """Take where noise ceilings come from, and the repeats where they are to be computed."""
    from orchestrator.ingest.noise_ceilings import parse_repeats

    if options.ncsnr is None and options.repeats is None:
        return options.noise_ceiling, None
    if options.noise_ceiling is not None:
        raise InputError("--noise-ceiling gives the ceilings: leave --ncsnr and --repeats away")
    if options.ncsnr is None or options.repeats is None:
        raise InputError(
            "--ncsnr and --repeats belong together: the ceiling depends on how many trials a "
            "response is the mean of; give both"
        )
    return options.ncsnr, parse_repeats(options.repeats)


def _simulate(options: argparse.Namespace) -> None:
    if options.layout == "imagefolder":
        _simulate_task(options)
    else:
        by_layout = _simulate_nod if options.layout == "nod" else _simulate_algonauts
        by_layout(options)
        sys.stdout.write(f"{options.out}: {len(options.subjects)} subjects simulated\n")
    if options.weights is not None:
        from orchestrator.ingest.simulate.pretrained_weights import make_weights

        make_weights(options.weights)
        sys.stdout.write(f"{options.weights}: weights of the small backbone\n")


def _simulate_task(options: argparse.Namespace) -> None:
    from orchestrator.ingest.simulate.task import TaskSimulation, simulate_task

    if options.permute_responses or options.shared:
        raise InputError(
            "--layout imagefolder: has no responses and no subjects; leave "
            "--permute-responses and --shared away"
        )
    simulate_task(options.out, TaskSimulation(options.images, options.image_size, options.seed))
    sys.stdout.write(f"{options.out}: a task of {options.images} images simulated\n")


def _simulate_nod(options: argparse.Namespace) -> None:
    from orchestrator.ingest.simulate.nod import simulate_nod
    from orchestrator.ingest.simulate.nod_ground_truth import NodSimulation

    if options.shared:
        raise InputError(
            f"--shared {options.shared}: no two subjects see the same image in NOD's layout; "
            "leave it out"
        )
    settings = NodSimulation(
        subjects=options.subjects,
        n_images=options.images,
        image_size=options.image_size,
        permute_responses=options.permute_responses,
        seed=options.seed,
    )
    simulate_nod(options.out, settings)


def _simulate_algonauts(options: argparse.Namespace) -> None:
    from orchestrator.ingest.simulate.algonauts import SimulationSettings, simulate

    shared = min(200, options.images * 2 // 9) if options.shared is None else options.shared
    settings = SimulationSettings(
        subjects=options.subjects,
        n_images=options.images,
        n_shared=shared,
        image_size=options.image_size,
        layout=options.layout,
        permute_responses=options.permute_responses,
        seed=options.seed,
    )
    simulate(options.out, settings)


if __name__ == "__main__":
    sys.exit(main())
