"""The files of a plug-in of Brain-Score, with their fields in braces."""

from collections.abc import Mapping
from typing import Final

_INIT: Final = '''\
"""{architecture} ({method}), for Brain-Score."""

from brainscore_vision import model_registry
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

from .model import LAYERS, VISUAL_DEGREES, get_model

model_registry['{identifier}'] = lambda: ModelCommitment(
    identifier='{identifier}',
    activations_model=get_model(),
    layers=LAYERS,
    visual_degrees=VISUAL_DEGREES,
)
'''

_MODEL: Final = '''\
"""{architecture} ({method}), exported by cortex-sweep {code}."""

from functools import partial
from pathlib import Path

from brainscore_vision.model_helpers.activations.pytorch import (
    PytorchWrapper,
    load_preprocess_images,
)
from safetensors.torch import load_file
from {module} import {builder} as build_network

LAYERS = {layers}
IMAGE_SIZE = {image_size}
MEAN, STD = {mean}, {std}
VISUAL_DEGREES = {visual_degrees}
BIBTEX = ""


def get_model():
    network = build_network({arguments})
    network.load_state_dict(load_file(Path(__file__).with_name("backbone.safetensors")))
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # it would overwrite the activations of the layer before
    wrapper = PytorchWrapper(
        identifier="{identifier}",
        model=network.eval(),
        preprocessing=partial(
            load_preprocess_images,
            image_size=IMAGE_SIZE,
            normalize_mean=MEAN,
            normalize_std=STD,
        ),
    )
    wrapper.image_size = IMAGE_SIZE
    return wrapper
'''

_TEST: Final = '''\
"""The model is registered, and has its layers."""

from brainscore_vision import load_model

from .model import LAYERS


def test_the_model_has_its_layers():
    model = load_model("{identifier}")
    names = [name for name, _ in model.activations_model._model.named_modules()]
    assert set(LAYERS) <= set(names)
'''

_REQUIREMENTS: Final = """\
torch
safetensors
{package}
"""

_METADATA: Final = """\
models:
    {identifier}:
        architecture: DCNN
        model_family: {architecture}
        total_parameter_count: {n_parameters}
        training_dataset: null
        task_specialization: null
        extra_notes: "{method}; exported by cortex-sweep {code}"
        runnable: true
"""

FILES: Final[Mapping[str, str]] = {
    "__init__.py": _INIT,
    "model.py": _MODEL,
    "test.py": _TEST,
    "requirements.txt": _REQUIREMENTS,
    "metadata.yaml": _METADATA,
}
