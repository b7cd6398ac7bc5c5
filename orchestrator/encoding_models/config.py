"""The format of an encoding model's directory, and its description in ``config.json``.

========================= ======================================================================
``config.json``           this description; written last
``backbone.safetensors``  weights of the whole backbone; models of one backbone share the file
``pca.safetensors``       ``mean``, ``basis``: of the layer; models of one fit share the file
``readout.safetensors``   ``coefficients``, ``scale``, ``intercept``: one column per vertex
``README.md``             the model card
========================= ======================================================================

Shared files are hard links, so that every directory is complete. Nothing here imports torch.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator

from trainables.spec import Backbone, Protocol, Roi
from trainables.spec.backbone import Channels
from trainables.spec.evaluation import AnyWorkItem, method_on, training_of
from trainables.spec.fields import Count, Flag, Int, Label, Number, Size, Text, one_of
from trainables.spec.interpolation import BILINEAR, Interpolation, Resizing
from trainables.spec.records import read_record, record
from trainables.spec.values import require

SCHEMA_VERSION: Final = 1
CONFIG: Final = "config.json"
CARD: Final = "README.md"
BACKBONE: Final = "backbone.safetensors"
PCA: Final = "pca.safetensors"
READOUT: Final = "readout.safetensors"
TENSOR_FILES: Final = (BACKBONE, PCA, READOUT)

Fit = Literal["train", "all"]
ChosenBy = Literal["validation", "test"]

_RESIZE: Final[Mapping[Interpolation, str]] = {
    "bilinear": "bilinear, antialiased (Pillow)",
    "bicubic": "bicubic, antialiased (Pillow)",
}
"""How images are resized, as the description says it."""


@record
class Preprocessing:
    """What happens to an image before the backbone."""

    image_size: Count
    """Height and width in pixels; whole images are resized to it."""
    mean: Channels
    """Per channel, of values from 0 to 1."""
    std: Channels
    resize: Annotated[Text, AfterValidator(one_of(_RESIZE.values()))] = _RESIZE[BILINEAR]
    crop: Count | None = None
    """Height and width of the centre that the backbone is given; None: all of the image."""

    @classmethod
    def of(cls, backbone: Backbone, size_of_rows: int, interpolation: Interpolation) -> Self:
        """Return what happens to a backbone's images, as the data stores them.

        size_of_rows: pixels of the images of the data's rows.
        """
        size, (mean, std) = backbone.image_size_in(size_of_rows), backbone.scale
        return cls(size, mean, std, _RESIZE[interpolation], backbone.crop_size)

    @property
    def resizing(self) -> Resizing:
        """Return how whole images are resized."""
        [interpolation] = [name for name, text in _RESIZE.items() if text == self.resize]
        return Resizing(self.image_size, interpolation)

    @property
    def scale(self) -> tuple[Channels, Channels]:
        """Return the mean and the deviation of each channel."""
        return self.mean, self.std


@record
class Score:
    """The r of the test images, by the model fitted to the training images."""

    protocol: Protocol
    n_test: Size
    r_mean: Number | None
    """Mean over the vertices that have an r; None without any."""
    low: Number | None
    """Lower end of the 95 % interval of the mean over test images."""
    high: Number | None
    n_overlap: Size
    """Test images that the backbone was fine-tuned on."""
    n_candidates: Count
    """Models that it was chosen from as the best one; 1 if it was named."""
    chosen_by: ChosenBy = "test"
    """The score that these were compared by: of folds of training images that no backbone was tuned
    on, or r of the test images."""


@record
class VertexColumns:
    """Columns of the model's vertices, one value each; None where it is unknown."""

    vertex: tuple[Size, ...]
    """Column of the hemisphere's responses in the data."""
    fsaverage: tuple[Size | None, ...]
    fslr: tuple[Size | None, ...]
    noise_ceiling: tuple[Number | None, ...]
    """Highest r that a perfect model can reach."""
    r: tuple[Number | None, ...]
    """On the test images; None where the vertex is constant."""
    alpha: tuple[Number | None, ...]

    def __post_init__(self) -> None:
        n = len(self.vertex)
        for name, values in asdict(self).items():
            require(len(values) == n, f"{name}: expected {n} values, found {len(values)}")


@record
class Weights:
    """The files of weights."""

    sha256: dict[Text, Text]
    """SHA-256 of each file by its name."""
    half: Flag
    """Whether PCA and readout are stored in half precision."""
    half_change: Number | None = None
    """Largest change in a vertex's r by half precision; None where it was not measured."""


@record
class ModelConfig:
    """Description of an encoding model."""

    _derived = ("architecture", "method")

    name: Label
    trial: AnyWorkItem
    """The trial, or the evaluation of a model, whose scores chose layer and alphas."""
    roi: Roi
    layer: Label
    fit: Fit
    """Fitted to the training images, or to all images."""
    n_fitted: Count
    """Images that PCA and ridge regression were fitted to."""
    preprocessing: Preprocessing
    score: Score
    vertices: VertexColumns
    split: Text
    split_digest: Text
    weights: Weights
    is_simulated: Flag
    code: Text
    """Version of the program that exported it."""
    n_trials: Count | None = None
    """Single trials of the fitted images, each of which the fit counts; None: each image once."""
    schema_version: Int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        n = len(self.vertices.vertex)
        require(n == self.roi.n_vertices, f"vertices: expected {self.roi.n_vertices}, found {n}")
        found = sorted(self.weights.sha256)
        require(found == sorted(TENSOR_FILES), f"weights: expected {TENSOR_FILES}, found {found}")

    @property
    def architecture(self) -> str:
        """Name the backbone."""
        return training_of(self.trial).backbone.architecture

    @property
    def method(self) -> str:
        """Name the method of the scores."""
        return method_on(self.trial, self.roi)

    def to_json(self) -> str:
        """Serialise to indented JSON; a column of vertices is one line."""
        content = {
            **asdict(self),
            "trial": json.loads(self.trial.to_json()),
            "architecture": self.architecture,
            "method": self.method,
        }
        if self.n_trials is None:
            del content["n_trials"]
        columns = content.pop("vertices")
        lines = ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in columns.items())
        text = json.dumps({**content, "vertices": None}, indent=2)
        return text.replace('"vertices": null', f'"vertices": {{\n{lines}\n  }}') + "\n"

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read a model's description.

        Raises ValueError with path, field and cure where there is none, it is damaged, or of
        another schema.
        """
        path = directory / CONFIG
        try:
            return read_record(path, cls, "export the model again with this version")
        except FileNotFoundError as error:
            raise ValueError(
                f"{directory}: no encoding model, which has a {CONFIG}; give one of the "
                "directories that the export command has made"
            ) from error
        except NotADirectoryError as error:
            raise ValueError(f"{directory}: expected a directory, found a file") from error


def model_name(trial: AnyWorkItem, roi: Roi) -> str:
    """Name a model's directory: ``nsd-subj01-lh-V1v-contrastive-0123abcd``."""
    return f"{roi.id}-{method_on(trial, roi)}-{trial.id[-8:]}"


@dataclass(frozen=True)
class ModelDirectory:
    """A model's directory, and its description."""

    path: Path
    config: ModelConfig
    trust_code: bool = False
    """Whether the code of a backbone from a user's file is run where the model is loaded."""

    @property
    def backbone(self) -> Backbone:
        """Return the backbone, with the text of a user's file if it is of one."""
        return training_of(self.config.trial).backbone

    @property
    def backbone_key(self) -> tuple[str, str, Preprocessing]:
        """Return what models that share a backbone have in common: weights, code and images."""
        digest = self.config.weights.sha256[BACKBONE]
        return digest, self.backbone.architecture, self.config.preprocessing


def find_models(models: Path, *, trust_code: bool = False) -> list[ModelDirectory]:
    """Read the descriptions of a model, or of all models in a directory, sorted by name.

    trust_code: of :class:`ModelDirectory`. Raises ValueError when there is none, or one can't be
    read.
    """
    there = [models] if (models / CONFIG).is_file() else _below(models)
    found = [ModelDirectory(path, ModelConfig.read(path), trust_code) for path in there]
    if not found:
        what = "holds no encoding model" if models.is_dir() else "no such directory"
        raise ValueError(f"{models}: {what}; run python -m orchestrator.export --out {models}")
    return found


def _below(models: Path) -> Iterable[Path]:
    return sorted(path.parent for path in models.glob(f"[!.]*/{CONFIG}"))
