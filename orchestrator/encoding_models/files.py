"""Read and write the tensors of encoding models, with their SHA-256."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from orchestrator.encoding_models.config import BACKBONE, PCA, READOUT, ModelDirectory
from orchestrator.encoding_models.trust import require_trust
from trainables.encoding.readout import Projection, Readout
from trainables.exceptions import Denied
from trainables.models import backbones
from trainables.models.normalisation import set_pixels
from trainables.models.weights import check_fit
from trainables.storage.atomic import hash_file
from trainables.storage.tensor_files import write_tensors

CURE = "copy the model again, or export it again"


@dataclass
class TensorFiles:
    """Reads the files of several models; files of the same content are read once.

    Everything is on the CPU. Raises ValueError naming a file that is missing, damaged or changed.
    """

    _backbones: dict[tuple[object, ...], nn.Module] = field(default_factory=dict)
    _projections: dict[str, Projection] = field(default_factory=dict)

    def backbone(self, model: ModelDirectory) -> nn.Module:
        """Return the backbone, which models of one backbone share, in eval mode.

        Raises ValueError if it is of a user's code that is not trusted.
        """
        require_trust([model])
        digest = model.config.weights.sha256[BACKBONE]
        key = model.backbone_key
        if key not in self._backbones:
            path = model.path / BACKBONE
            built = backbones.build_untrained(model.backbone)
            given = model.config.preprocessing
            network = set_pixels(built, given.scale, given.crop)
            state = _read(path, digest)
            check_fit(state, network, f"{path}: does not fit {model.config.architecture}")
            network.load_state_dict(state)
            self._backbones[key] = network.eval()
        return self._backbones[key]

    def projection(self, model: ModelDirectory) -> Projection:
        """Return the PCA, which models of one backbone, layer and subject share."""
        digest = model.config.weights.sha256[PCA]
        if digest not in self._projections:
            state = _read(model.path / PCA, digest)
            self._projections[digest] = Projection(*_take(model, PCA, state, "mean", "basis"))
        return self._projections[digest]

    def readout(self, model: ModelDirectory) -> Readout:
        """Return the readout of the model's vertices; raise ValueError if these are others."""
        state = _read(model.path / READOUT, model.config.weights.sha256[READOUT])
        names = ("coefficients", "scale", "intercept")
        readout = Readout(*_take(model, READOUT, state, *names))
        n_expected, n_found = model.config.roi.n_vertices, readout.coefficients.shape[-1]
        if n_found != n_expected:
            raise ValueError(
                f"{model.path / READOUT}: expected {n_expected} vertices, found {n_found}; {CURE}"
            )
        return readout


def _read(path: Path, digest: str) -> dict[str, Tensor]:
    try:
        found = hash_file(path)
        if found != digest:
            raise ValueError(
                f"{path}: its content has changed (expected SHA-256 {digest[:12]}…, found "
                f"{found[:12]}…); {CURE}"
            )
        return load_file(path)
    except PermissionError as error:
        raise Denied.of(path, error) from error
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ValueError(f"{path}: not readable ({reason}); {CURE}") from error


def _take(
    model: ModelDirectory, file: str, state: Mapping[str, Tensor], *names: str
) -> list[Tensor]:
    if sorted(state) != sorted(names):
        raise ValueError(
            f"{model.path / file}: expected {', '.join(names)}, found {', '.join(sorted(state))}; "
            f"{CURE}"
        )
    return [state[name].float() for name in names]


def write_projection(path: Path, projection: Projection, *, half: bool) -> str:
    """Write a PCA; half: its basis in half precision. Return the file's SHA-256."""
    basis = projection.basis.half() if half else projection.basis
    write_tensors(path, {"mean": projection.mean, "basis": basis})
    return hash_file(path)


def write_readout(path: Path, readout: Readout, *, half: bool) -> str:
    """Write a readout; half: its coefficients in half precision. Return the file's SHA-256."""
    coefficients, scale, intercept = readout.parts
    tensors = {
        "coefficients": coefficients.half() if half else coefficients,
        "scale": scale,
        "intercept": intercept,
    }
    write_tensors(path, tensors)
    return hash_file(path)


def write_backbone(path: Path, network: nn.Module) -> str:
    """Write a backbone's weights and buffers; return the file's SHA-256."""
    write_tensors(path, network.state_dict())
    return hash_file(path)


def link_or_copy(source: Path, path: Path) -> None:
    """Give a file a second name, or copy it where the file system has no hard links."""
    try:
        os.link(source, path)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(source, path)
