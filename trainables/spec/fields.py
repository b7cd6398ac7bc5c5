"""The types of fields of specs and records, as pydantic validates them.

Only unambiguous values are converted: a float without a fraction is accepted as an integer, and
an integer as a float. Text never becomes a number, and a Boolean never becomes an integer.
"""

import re
from collections.abc import Callable, Collection
from itertools import pairwise
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, Strict
from pydantic_core import PydanticCustomError

NAME_RULE: Final = "letters, digits, '.', '_', '+' and '-', at most 64, first a letter or digit"
LAST_SECOND: Final = 2**36
"""Latest accepted time, in seconds since 1970: in the year 4147, well within what dates can be."""
LONGEST: Final = 1e10
"""The longest accepted duration of a step, in seconds: three centuries."""
SMALLEST, LARGEST = 1e-30, 1e30
"""The smallest and the largest positive number of a spec: float32 holds them and their products
with numbers of ordinary size."""
MAX_LABEL: Final = 200
"""The most characters of a label."""


def is_name(text: object) -> bool:
    """Return whether text can name a dataset, subject or ROI, and so be part of a path."""
    return (
        isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9][\w.+-]{0,63}", text, re.A) is not None
    )


def refusal(expected: str) -> PydanticCustomError:
    """Make a validator's error from what it expected; the value found is added later."""
    return PydanticCustomError("expected", "expected {expected}", {"expected": expected})


def one_of(values: Collection[str]) -> Callable[[str], str]:
    """Make a validator that accepts only the given texts."""

    def check(value: str) -> str:
        if value not in values:
            raise refusal(f"one of {', '.join(values)}")
        return value

    return check


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _unicode(value: object) -> object:
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "backslashreplace").decode()


def _unsigned(value: float) -> float:
    """Return 0.0 for -0.0: equal values have one JSON, and so one id."""
    return value + 0.0


def _ordinary(value: float) -> float:
    if not SMALLEST <= value <= LARGEST:
        raise refusal(f"a number from {SMALLEST:g} to {LARGEST:g}")
    return value


def _label(value: str) -> str:
    if not (0 < len(value) <= MAX_LABEL and value.isprintable()):
        raise refusal(f"1 to {MAX_LABEL} printable characters")
    return value


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Validate that no value of a tuple occurs twice."""
    if len(set(values)) < len(values):
        raise refusal("each value once")
    return values


def ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    """Validate that numbers are in ascending order, and none occurs twice."""
    if any(earlier >= later for earlier, later in pairwise(values)):
        raise refusal("numbers in ascending order, each once")
    return values


def _named(value: str) -> str:
    if not is_name(value):
        raise refusal(f"a name that can be part of a path ({NAME_RULE})")
    return value


Int = Annotated[int, Strict(), Field(ge=-(2**63), lt=2**63), BeforeValidator(_whole)]
"""An integer of 64 bits."""
Count = Annotated[Int, Field(ge=1)]
"""An integer of at least 1."""
Size = Annotated[Int, Field(ge=0)]
"""An integer of at least 0."""
Seed = Annotated[Int, Field(ge=0)]
"""A seed of random numbers: an integer of at least 0, of 63 bits."""
Number = Annotated[float, Strict(), Field(allow_inf_nan=False), AfterValidator(_unsigned)]
"""A finite number."""
Positive = Annotated[Number, Field(gt=0), AfterValidator(_ordinary)]
"""A number above 0, from SMALLEST to LARGEST."""
Share = Annotated[Number, Field(ge=0, lt=1)]
"""A number from 0 to below 1."""
Measure = Annotated[float, Strict()]
"""A measured number, which may be infinite or NaN."""
Timestamp = Annotated[Number, Field(ge=0, lt=LAST_SECOND)]
"""Seconds since 1970."""
Seconds = Annotated[Number, Field(ge=0, le=LONGEST)]
"""A duration in seconds."""
Flag = Annotated[bool, Strict()]
"""True or false."""
Text = Annotated[str, Strict(), BeforeValidator(_unicode)]
"""Any text; bytes of a file name that are not valid Unicode are escaped."""
Label = Annotated[Text, AfterValidator(_label)]
"""Printable text in one line, of 1 to MAX_LABEL characters."""
Name = Annotated[str, Strict(), AfterValidator(_named)]
"""Text that may be part of a path; see NAME_RULE."""
