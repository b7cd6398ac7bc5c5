"""Consent to the code of backbones that come from users' files; nothing here runs it."""

from collections.abc import Iterable

from orchestrator.encoding_models.config import CONFIG, ModelDirectory
from trainables.wording import some


def require_trust(models: Iterable[ModelDirectory]) -> None:
    """Raise ValueError if the backbone of a model is of a user's code that is not trusted.

    Each text of code is named once, with the first model that contains it.
    """
    refused: dict[str, ModelDirectory] = {}
    for model in models:
        if model.backbone.source is not None and not model.trust_code:
            refused.setdefault(model.backbone.architecture, model)
    if refused:
        places = [f"{one.path} ({architecture})" for architecture, one in refused.items()]
        raise ValueError(
            f"{some(places)}: the backbone is code, which loading runs; read it in {CONFIG} "
            "(trial, backbone, source), and if you trust it, give --trust-code, or in Python "
            "trust_code=True"
        )
