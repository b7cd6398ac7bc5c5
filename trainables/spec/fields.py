"""The types of fields of specs and records, as pydantic validates them.

Nothing is converted that could mean two things: text never becomes a number, nor true an integer.
A float without a fraction is an integer, an integer is a float.
"""

import re
from collections.abc import Callable, Collection
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, Strict
from pydantic_core import PydanticCustomError

NAME_RULE: Final = "letters, digits, '.', '_', '+' and '-', 64 at most, not first a sign"
LAST_SECOND: Final = 2**36
"""Seconds since 1970 of a day in the year 4147: far enough from the last year that has dates."""
LONGEST: Final = 1e10
"""Seconds that a step may take, three centuries."""


def is_name(text: object) -> bool:
    """Tell whether a dataset, a subject or an ROI may be called so: it becomes part of paths."""
    return (
        isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9][\w.+-]{0,63}", text, re.A) is not None
    )


def refusal(expected: str) -> PydanticCustomError:
    """Make the error that a validator raises: what it expected; what it found is added."""
    return PydanticCustomError("expected", "expected {expected}", {"expected": expected})


def one_of(values: Collection[str]) -> Callable[[str], str]:
    """Make a validator that accepts some texts only."""

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
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
"""A finite number."""
Positive = Annotated[Number, Field(gt=0)]
"""A finite number above 0."""
Share = Annotated[Number, Field(ge=0, lt=1)]
"""A number from 0 to below 1."""
Measure = Annotated[float, Strict()]
"""Something that was measured: a number that may be infinite, or not a number."""
Timestamp = Annotated[Number, Field(ge=0, lt=LAST_SECOND)]
"""Seconds since 1970."""
Seconds = Annotated[Number, Field(ge=0, le=LONGEST)]
"""A duration."""
Flag = Annotated[bool, Strict()]
"""True or false."""
Text = Annotated[str, Strict(), BeforeValidator(_unicode)]
"""Any text; bytes of a file's name that are no Unicode are escaped."""
Name = Annotated[str, Strict(), AfterValidator(_named)]
"""Text that may be part of a path, see NAME_RULE."""
