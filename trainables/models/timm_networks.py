"""Networks of timm by name: ``timm/NAME`` or ``timm/NAME.TAG``, with the weights of the tag.

timm takes a second to import, so only the functions that need it do. Its transformers are built to
interpolate their position embeddings, so that weights of any size of images serve any other.
"""

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from trainables.spec import Backbone
from trainables.spec.backbone import TIMM, Channels
from trainables.wording import similar

SIZE_OPTIONS: Final[tuple[dict[str, bool], ...]] = (
    {"dynamic_img_size": True},
    {"strict_img_size": False},
    {},
)
"""Options that let a network take images of other sizes; the first that it has is used."""
SAFE_FILE: Final = "model.safetensors"
"""The file of weights in timm's repositories of the Hugging Face hub."""


def names() -> list[str]:
    """Name every network and tag of timm: ``timm/NAME.TAG``; without tags, ``timm/NAME``."""
    import timm

    tagged = {f"{TIMM}{name}" for name in timm.list_pretrained()}
    bare = {one.partition(".")[0] for one in tagged}
    plain = {f"{TIMM}{name}" for name in timm.list_models()} - bare
    return sorted(tagged | plain)


def tags(architecture: str) -> list[str]:
    """Name the tags of a network's published weights."""
    import timm

    name = _model_name(architecture).partition(".")[0]
    found = timm.list_pretrained(f"{name}.*")
    return [one.partition(".")[2] for one in found if one.partition(".")[0] == name]


def build(architecture: str) -> nn.Module:
    """Build an untrained network; raise ValueError naming a similar one or the tags there are."""
    check_name(architecture)
    return timm_model(architecture, **size_options(architecture))


@cache
def size_options(architecture: str) -> dict[str, bool]:
    """Return the options with which a network takes images of other sizes."""
    for options in SIZE_OPTIONS:
        with suppress(TypeError), torch.device("meta"):  # this family has no such option
            timm_model(architecture, **options)
            return options
    return {}


def timm_model(architecture: str, **options: Any) -> nn.Module:
    """Build a network of timm with options of its own."""
    import timm

    network: nn.Module = timm.create_model(_model_name(architecture), **options)
    return network


def _model_name(architecture: str) -> str:
    return architecture.removeprefix(TIMM)


def check_name(architecture: str) -> None:
    """Raise ValueError unless timm has a network, and weights of the tag if one is named."""
    import timm

    name, _, tag = _model_name(architecture).partition(".")
    if ":" in name or "/" in name or not timm.is_model(name):
        found = similar(name, timm.list_models())
        raise ValueError(
            f"unknown backbone {architecture!r}: timm has no network of this name; "
            f"python -m orchestrator.backbones --like {name.partition('_')[0] or 'vit'} lists some"
            + ("" if found is None else f"; did you mean {TIMM + found!r}?")
        )
    if tag and tag not in (known := tags(architecture)):
        raise ValueError(
            f"unknown weights {tag!r} for {TIMM}{name}; expected "
            f"{f'one of {known}, or ' if known else ''}FROM_FILE and --weights FILE"
        )


def pixels(architecture: str) -> tuple[Channels, Channels]:
    """Return the mean and deviation of channels that a network's weights were trained with."""
    config = data_config(architecture)
    (red, green, blue), (of_red, of_green, of_blue) = config["mean"], config["std"]
    return (red, green, blue), (of_red, of_green, of_blue)


def data_config(architecture: str) -> dict[str, Any]:
    """Return timm's input_size, interpolation, mean, std, crop_pct and crop_mode of a network."""
    import timm
    from timm.data.config import resolve_data_config

    check_name(architecture)
    config = timm.get_pretrained_cfg(_model_name(architecture))
    found: dict[str, Any] = resolve_data_config(pretrained_cfg=config.to_dict() if config else {})
    return found


def cached_file(backbone: Backbone) -> Path | None:
    """Return the file of published weights on this machine; None if it is not there.

    Raises ValueError if timm has no such weights.
    """
    import timm
    from huggingface_hub import try_to_load_from_cache

    check_name(backbone.architecture)
    config = timm.get_pretrained_cfg(_model_name(backbone.architecture))
    if config is None or not config.hf_hub_id:
        return None
    found = try_to_load_from_cache(config.hf_hub_id, SAFE_FILE)
    return Path(found) if isinstance(found, str) else None


def download(backbone: Backbone) -> dict[str, Tensor]:
    """Return the state of a network with its published weights, which timm downloads.

    timm reads safetensors, or pickles that cannot execute code. Raises ValueError where that fails.
    """
    was_there = cached_file(backbone)
    try:
        network = timm_model(
            backbone.architecture, pretrained=True, **size_options(backbone.architecture)
        )
    except Exception as error:  # no network, no space, or a damaged file: each has its own error
        if was_there is not None:
            raise ValueError(
                f"{was_there}: not a readable file of the weights {backbone.weights} of "
                f"{backbone.architecture} ({type(error).__name__}); remove it"
            ) from error
        raise ValueError(
            f"{backbone.architecture}: its weights {backbone.weights} could not be downloaded "
            f"({' '.join(str(error).split())[:200]}); try again, or give --weights FILE"
        ) from error
    return network.state_dict()
