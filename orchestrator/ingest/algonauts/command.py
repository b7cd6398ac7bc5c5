"""The command that ingests an Algonauts 2023 (NSD) folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from orchestrator.cli.errors import InputError
from orchestrator.ingest.options import Shards, SubjectOptions

Folder = Annotated[Path, Parameter(metavar="DIR")]


@Parameter(name="*")
@dataclass(frozen=True)
class NoiseOptions:
    """Where noise ceilings come from."""

    noise_ceiling: Annotated[Folder | None, Parameter(show_default="none")] = None
    """Folder with DIR/subj01/lh.npy, rh.npy …: for each vertex the highest r that a perfect model
    can reach."""
    ncsnr: Folder | None = None
    """Folder with DIR/subj01/lh.npy, rh.npy …: NSD's ncsnr of each vertex, from which the noise
    ceiling is computed instead; needs --repeats."""
    repeats: Annotated[str | None, Parameter(metavar="LIST")] = None
    """Trials that each response is the mean of, such as 3; or how many images were shown once,
    twice, three times …, such as 600,900,7341."""

    def read(self) -> tuple[Path | None, tuple[int, ...] | None]:
        """Return the folder, and the repeats where the noise ceiling is to be computed.

        Raises InputError for options that contradict one another.
        """
        from orchestrator.ingest.noise_ceilings import parse_repeats

        if self.ncsnr is None and self.repeats is None:
            return self.noise_ceiling, None
        if self.noise_ceiling is not None:
            raise InputError("--noise-ceiling gives the ceilings: leave --ncsnr and --repeats away")
        if self.ncsnr is None or self.repeats is None:
            raise InputError(
                "--ncsnr and --repeats belong together: the ceiling depends on how many trials a "
                "response is the mean of; give both"
            )
        return self.ncsnr, parse_repeats(self.repeats)


def algonauts(
    source: Annotated[
        Path,
        Parameter(
            help="Folder with subj01, subj02 … or training_images, training_fmri, roi_masks."
        ),
    ],
    /,
    *,
    out: Shards,
    options: SubjectOptions = SubjectOptions(),
    noise: NoiseOptions = NoiseOptions(),
) -> None:
    """Read an Algonauts 2023 (NSD) folder into one directory of shards per subject.

    Both layouts of the folder are read. Everything is checked first: each error is listed with its
    file and its cure, and nothing is written. A subject that was ingested before is skipped. An
    ingest that was stopped leaves no half-written subject, and the same command resumes it. Shards
    are written to DATA/nsd-subj01, DATA/nsd-subj02 …
    """
    from orchestrator.ingest.run import ingest_algonauts
    from orchestrator.ingest.settings import Settings

    ceilings, repeats = noise.read()
    ingest_algonauts(
        source,
        out,
        options.added_to(Settings(options.split)),
        subjects=options.subjects,
        noise_ceilings=ceilings,
        repeats=repeats,
        num_cpus=options.cpus,
    )
