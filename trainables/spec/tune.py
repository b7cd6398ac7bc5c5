"""What of a backbone is tuned: all of it, the layers from one on, or low-rank adapters."""

import re
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator

from trainables.spec.fields import MAX_LABEL, Text, refusal

ALL: Final = "all"
MAX_RANK: Final = 1024
"""The largest rank of an adapter."""


@dataclass(frozen=True)
class FromLayer:
    """Tune a layer and all that are called after it; freeze the parameters before it."""

    layer: str


@dataclass(frozen=True)
class Lora:
    """Freeze all weights, and tune products of two matrices of this rank that are added to them."""

    rank: int


def parse_tune(text: str) -> FromLayer | Lora | None:
    """Parse ``all`` (None), ``from:LAYER`` or ``lora:RANK``; raise ValueError for other texts."""
    if text == ALL:
        return None
    if (found := re.fullmatch(r"from:([\w.-]+)", text, re.A)) and len(text) <= MAX_LABEL:
        return FromLayer(found[1])
    if (found := re.fullmatch(r"lora:([1-9]\d{0,3})", text, re.A)) and int(found[1]) <= MAX_RANK:
        return Lora(int(found[1]))
    raise ValueError(f"expected {EXPECTED}, found {text!r}")


EXPECTED: Final = f"'all', 'from:LAYER', or 'lora:RANK' with a rank from 1 to {MAX_RANK}"


def _tune(text: str) -> str:
    try:
        parse_tune(text)
    except ValueError:
        raise refusal(EXPECTED) from None
    return text


Tune = Annotated[Text, AfterValidator(_tune)]
"""What of a backbone is tuned, as text: ``all``, ``from:LAYER`` or ``lora:RANK``."""
