"""Records: frozen dataclasses that are validated when constructed and when read from JSON.

Every spec is a record, and so is every JSON file that the program writes and reads back. pydantic
validates them; an error is one line with the field, the expected value and the value found.
"""

import errno
import os
import reprlib
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, fields
from functools import lru_cache, wraps
from pathlib import Path, PurePath
from typing import Any, Final, TypeVar, dataclass_transform, get_args

from pydantic import ConfigDict, PlainValidator, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs, PydanticCustomError, from_json

from trainables.exceptions import Denied
from trainables.spec.fields import refusal

T = TypeVar("T")

MAX_BYTES: Final = 64 * 2**20
"""Largest JSON file that is read, in bytes: enough for a plan of some 300,000 trials."""

EXPECTED: Final[Mapping[str, str]] = {
    "bool_type": "true or false",
    "dataclass_type": "an object",
    "dict_type": "an object",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "a value above {gt:g}",
    "greater_than_equal": "a value of at least {ge:g}",
    "int_type": "an integer",
    "less_than": "a value below {lt:g}",
    "less_than_equal": "a value of at most {le:g}",
    "literal_error": "{expected}",
    "mapping_type": "an object",
    "string_type": "text",
    "too_long": "at most {max_length} of them",
    "too_short": "at least {min_length} of them",
    "tuple_type": "a list",
}
"""The expected value for each of pydantic's kinds of errors, in this program's words."""

_HOOK: Final = "_validate_record"


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(kind: type[T]) -> type[T]:
    """Make a class a frozen dataclass with fields validated on construction and on reading.

    Fields have types of trainables.spec.fields. NumPy scalars and arrays, paths and lists are
    converted to plain values; other types raise ValueError in one line. ``_derived``, if defined,
    lists properties that are also written to the JSON and must agree with the fields when read.
    """
    hook: Any = classmethod(_validate)
    setattr(kind, _HOOK, model_validator(mode="wrap")(hook))
    made: Any = dataclass(frozen=True, config=ConfigDict(extra="forbid"))(kind)
    names = tuple(one.name for one in fields(made))
    validate = made.__init__

    @wraps(validate)
    def init(self: Any, *arguments: Any, **named: Any) -> None:
        given = dict(zip(names, arguments, strict=False))
        if len(arguments) > len(names) or given.keys() & named.keys():
            raise TypeError(f"{kind.__name__}: expected each of {', '.join(names)} at most once")
        try:
            validate(self, **given, **named)
        except ValidationError as error:
            raise ValueError(f"{kind.__name__}{describe(error, '.')}") from None

    made.__init__ = init
    result: type[T] = made
    return result


def _validate(kind: Any, content: Any, handler: Callable[[Any], Any]) -> Any:
    """Validate a record's fields, from a JSON object or from the arguments of its class."""
    if isinstance(content, ArgsKwargs):
        given = _checked(kind, content.kwargs or {})
        return handler(ArgsKwargs((), {name: _plain(value, name) for name, value in given.items()}))
    if not isinstance(content, dict):
        return handler(content)
    derived = {name: content[name] for name in getattr(kind, "_derived", ()) if name in content}
    made = handler(_checked(kind, {k: v for k, v in content.items() if k not in derived}))
    for name, value in derived.items():
        if getattr(made, name) != value:
            expected = f"{_short(getattr(made, name))} from the other fields"
            raise _error(f"{name}: expected {expected}, found {_short(value)}")
    return made


def _checked(kind: Any, content: Mapping[str, Any]) -> dict[str, Any]:
    known = {one.name: one for one in fields(kind)}
    if "schema_version" in known and "schema_version" in content:
        found, version = content["schema_version"], known["schema_version"].default
        if found != version or isinstance(found, bool):
            raise _error(f"schema version {_short(found)}, this program reads {version}")
    if unknown := sorted(map(str, set(content) - set(known))):
        raise _error(f"unknown keys {_short(unknown)}; expected {', '.join(known)}")
    return dict(content)


def _error(message: str) -> PydanticCustomError:
    return PydanticCustomError("record", "{message}", {"message": message})


def _plain(value: Any, name: str) -> Any:
    """Convert NumPy values, paths and lists to plain values; refuse iterators and sets.

    name: the field. An iterator may have no end, and is empty when read again; a set has no order.
    """
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, list | tuple):
        return tuple(_plain(one, name) for one in value)
    if isinstance(value, Iterator | set | frozenset):
        found = {"expected": "a list or a tuple", "field": name, "found": value}
        raise PydanticCustomError("expected", "expected {expected}", found)
    return {k: _plain(v, name) for k, v in value.items()} if type(value) is dict else value


def describe(error: ValidationError, before: str = "") -> str:
    """Describe the first error of a failed validation in one line.

    before: put in front of the field's name, if the error concerns a field.
    """
    first, *others = error.errors(include_url=False)
    kind, context = first["type"], first.get("ctx", {})
    where = _place(first["loc"])
    if kind == "missing":
        message = "missing"
    elif kind == "value_error":
        message = str(context["error"])
    elif kind == "expected":
        where = where or context.get("field", "")
        found = context.get("found", first["input"])
        message = f"expected {context['expected']}, found {_short(found)}"
    elif kind in EXPECTED:
        expected = EXPECTED[kind].format_map(context)
        message = f"expected {expected}, found {_short(first['input'])}"
    else:
        message = first["msg"]
    more = f" (and {len(others)} more)" if others else ""
    return f"{before}{where}: {message}{more}" if where else f"{': ' * bool(before)}{message}{more}"


def _place(location: tuple[int | str, ...]) -> str:
    """Name a field within a record: ``rois[0].name``."""
    parts = [part for part in location if part != "[key]"]
    named = [
        f"[{part}]" if isinstance(part, int) else f".{part if part.isprintable() else repr(part)}"
        for part in parts
    ]
    return "".join(named).removeprefix(".")


_REPR: Final = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 80


def _short(value: object) -> str:
    try:
        return " ".join(_REPR.repr(value).split())
    except ValueError:  # an integer of thousands of digits
        return f"a large {type(value).__name__}"


def one_kind_of(kinds: Any, choose: Callable[[Mapping[str, Any]], Any] | None = None) -> Any:
    """Make the validator of a field that accepts several kinds of records.

    kinds: their union. choose: returns the kind for a JSON object, or raises refusal(); without
    it, only instances of these kinds are accepted.
    """

    def validate(value: Any) -> Any:
        if isinstance(value, kinds):
            return value
        if choose is None or not isinstance(value, dict):
            raise refusal(f"one of {', '.join(one.__name__ for one in get_args(kinds))}")
        return _adapter(choose(value)).validate_python(value)

    return PlainValidator(validate)


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def build(kind: type[T], content: object) -> T:
    """Build a record from parsed JSON; raise ValueError in one line."""
    made: T = build_any(kind, content)
    return made


def build_any(kind: Any, content: object) -> Any:
    """Build a value of any type that a field can have, for example a union of records."""
    try:
        return _adapter(kind).validate_python(content)
    except ValidationError as error:
        raise ValueError(describe(error)) from None


def parse(kind: type[T], text: str | bytes) -> T:
    """Read a record from its JSON; raise ValueError in one line."""
    return build(kind, parse_json(text))


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; raise ValueError in one line, also for more than 200 levels of nesting."""
    try:
        return from_json(text)
    except ValueError as error:
        raise ValueError(f"not JSON ({error})") from None


def read_bounded(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Read a regular file of at most so many bytes, without waiting for a pipe or a device.

    Raises ValueError for anything else, OSError if it can't be read.
    """
    if stat.S_ISDIR(mode := path.stat().st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise ValueError("expected a regular file, found a pipe, socket or device")
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(limit + 1) if size <= limit else b""
    if (size := max(size, len(content))) > limit:
        raise ValueError(f"expected at most {limit} bytes, found {size}")
    return content


def read_record(path: Path, kind: type[T], cure: str) -> T:
    """Read a record from its file.

    Raises ValueError with the path, the field, the expected and the found value, and the cure;
    FileNotFoundError when there is no such file, Denied if this user may not read it.
    """
    try:
        return parse(kind, read_bounded(path))
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise Denied.of(path, error) from error
    except (OSError, ValueError) as error:
        found = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{path}: {found}; {cure}") from error
