"""Encoding models as files: load one, and predict the responses to any image.

    from orchestrator.encoding_models import load_model

    model = load_model("MODELS/nsd-subj01-lh-V1v-contrastive-0123abcd")
    responses = model.predict(["photo.png"])  # (1, n_vertices)

No Ray and no MLflow is imported. `config` has the file format, and needs no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from orchestrator.encoding_models.berg import encode, get_encoding_model
    from orchestrator.encoding_models.model import EncodingModel, load_model

__all__ = [
    "EncodingModel",
    "card",
    "config",
    "encode",
    "files",
    "get_encoding_model",
    "image_input",
    "load_model",
    "model",
    "shared_backbone",
    "trust",
]

_HOMES: Final = {
    "EncodingModel": "model",
    "encode": "berg",
    "get_encoding_model": "berg",
    "load_model": "model",
}
"""The module of each name, which is imported when the name is used: most need torch."""


def __getattr__(name: str) -> Any:
    """Import a name of this package when it is used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
