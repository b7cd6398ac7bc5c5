"""What is decided about every subject of NSD. Nothing here imports what is slow to import."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from orchestrator.ingest.settings import Repeats

SpaceName = Literal["fsaverage", "nativesurface", "func1pt8mm", "func1mm"]
BetaVersion = Literal["b1", "b2", "b3"]
BETA_FOLDERS: Final[Mapping[BetaVersion, str]] = {
    "b1": "betas_assumehrf",
    "b2": "betas_fithrf",
    "b3": "betas_fithrf_GLMdenoise_RR",
}
"""The folder of each version of the betas."""
NsdSplit = Literal["shared1000", "special515", "algonauts", "stimulus"]
CeilingChoice = Literal["released", "estimated", "none"]
VertexChoice = Literal["nsdgeneral", "rois", "all"]


@dataclass(frozen=True)
class NsdChoices:
    """What the user chose."""

    space: SpaceName = "fsaverage"
    betas: BetaVersion = "b3"
    repeats: Repeats = "mean"
    vertices: VertexChoice = "nsdgeneral"
    families: tuple[str, ...] | None = None
    """ROI families by name; None for the usual ones that are there."""
    sessions: tuple[int, ...] | None = None
    """Numbers of sessions, from 1; None for all that are there."""
    ceiling: CeilingChoice | None = None
    """Where ncsnr is from; None for its files where they are there, else for repeated trials."""

    def record(self) -> dict[str, str]:
        """Name the choices as the manifest records them."""
        ceiling = {} if self.ceiling is None else {"ceiling": self.ceiling}
        return ceiling | {
            "space": self.space,
            "betas": self.betas,
            "repeats": self.repeats,
            "vertices": self.vertices,
            "families": "usual" if self.families is None else ",".join(self.families),
            "sessions": "all" if self.sessions is None else ",".join(map(str, self.sessions)),
        }
