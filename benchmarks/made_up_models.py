"""Write encoding models of random weights, without a sweep."""

from pathlib import Path
from typing import Final

import torch

from orchestrator.encoding_models.config import (
    BACKBONE,
    CONFIG,
    PCA,
    READOUT,
    ModelConfig,
    Preprocessing,
    Score,
    VertexColumns,
    Weights,
    model_name,
)
from orchestrator.encoding_models.files import write_backbone, write_projection, write_readout
from orchestrator.encoding_models.layer_reader import LayerReader
from trainables.encoding.readout import Projection, Readout
from trainables.models.backbones import build
from trainables.spec import Backbone, Encoding, Roi, Trial, Untuned

N_COMPONENTS: Final = 100
NO_SCORE: Final = Score(
    protocol="nested", n_test=0, r_mean=None, low=None, high=None, n_overlap=0, n_candidates=1
)


def write_model(
    models: Path,
    architecture: str,
    layer: str,
    image_size: int,
    roi_name: str = "V1v",
    n_vertices: int = 1000,
) -> Path:
    """Write a model with the random weights of its architecture; return its directory."""
    roi = Roi("nsd", "subj01", "lh", roi_name, n_vertices, "made-up")
    encoding = Encoding(layers=(layer,), n_components=N_COMPONENTS)
    trial = Trial(Untuned(), (roi,), Backbone(architecture, "sha256:made-up"), encoding)
    directory = models / model_name(trial, roi)
    directory.mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(architecture).eval()
    image = torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8)
    n_features = LayerReader(network, [layer]).read(image)[layer].shape[1]
    basis = torch.randn(n_features, N_COMPONENTS, generator=generator) / n_features**0.5
    coefficients = torch.randn(N_COMPONENTS, n_vertices, generator=generator)
    sha256 = {
        BACKBONE: write_backbone(directory / BACKBONE, network),
        PCA: write_projection(
            directory / PCA, Projection(torch.zeros(n_features), basis), half=False
        ),
        READOUT: write_readout(
            directory / READOUT, Readout.of(coefficients, torch.zeros(n_vertices)), half=False
        ),
    }
    config = _describe(trial, roi, image_size, Weights(sha256, half=False))
    (directory / CONFIG).write_text(config.to_json(), encoding="utf-8")
    return directory


def _describe(trial: Trial, roi: Roi, image_size: int, weights: Weights) -> ModelConfig:
    assert trial.encoding is not None
    unknown = (None,) * roi.n_vertices
    vertices = VertexColumns(
        tuple(range(roi.n_vertices)), unknown, unknown, unknown, unknown, unknown
    )
    return ModelConfig(
        name=model_name(trial, roi),
        trial=trial,
        roi=roi,
        layer=trial.encoding.layers[0],
        fit="train",
        n_fitted=1,
        preprocessing=Preprocessing(image_size, *trial.backbone.scale),
        score=NO_SCORE,
        vertices=vertices,
        split="made-up",
        split_digest="made-up",
        weights=weights,
        is_simulated=True,
        code="benchmark",
    )
