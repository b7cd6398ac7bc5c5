"""Read an ROI family's mapping file without running what it may contain.

``mapping_prf-visualrois.npy`` is ``np.save(path, {1: "V1v", …})``: an .npy header, then a pickle.
A pickle can name any function to call. This one is read as data (pickled_values.py): its names are
compared with those that NumPy writes for such a dict, and are never imported.
"""

import re
import reprlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from orchestrator.cli.errors import InputError
from orchestrator.ingest.algonauts.pickled_values import (
    Call,
    Pairs,
    RefusedError,
    Symbol,
    read_pickle,
)
from trainables.spec import is_name
from trainables.spec.records import read_bounded

MAX_BYTES: Final = 1 << 16
"""A real mapping has a few hundred bytes; a larger file is something else, or malicious."""

_HEADER: Final = re.compile(
    r"\{'descr': '([<>|=]?[A-Za-z]\d{0,9})', 'fortran_order': (?:False|True), "
    r"'shape': \([\d, ]*\), \}\s*"
)
_CORES: Final = ("numpy.core.multiarray", "numpy._core.multiarray")
"""The module of these functions in NumPy 1 and in NumPy 2."""
_ARRAYS: Final = frozenset(Symbol(core, "_reconstruct") for core in _CORES)
_SCALARS: Final = frozenset(Symbol(core, "scalar") for core in _CORES)
_ENCODE: Final = Symbol("_codecs", "encode")
"""Makes bytes of text in pickles of protocol 2."""
_DTYPE: Final = Symbol("numpy", "dtype")
_KNOWN: Final = _ARRAYS | _SCALARS | {_ENCODE, _DTYPE, Symbol("numpy", "ndarray")}


def read_mapping(path: Path) -> dict[int, str]:
    """Read {label: ROI name} from a mapping file, names stripped of white space.

    Raises InputError, naming the file and what was found or refused in it.
    """
    content = _read_object(path)
    if not isinstance(content, Pairs):
        raise InputError(_unfit(path, f"a {type(content).__name__}"))
    names: dict[int, str] = {}
    for key, value in content.items:
        label, name = _checked(path, key), _checked(path, value)
        if type(label) is not int or not isinstance(name, str):
            raise InputError(
                _unfit(path, f"an entry of {type(label).__name__} to {type(name).__name__}")
            )
        names[label] = name.strip()
        if not is_name(names[label]):
            raise InputError(_unfit(path, f"the name {reprlib.repr(name)}"))
    return names


def _read_object(path: Path) -> Any:
    if not path.exists():
        raise InputError(
            f"{path}: the mapping of labels to ROI names is missing; download it again"
        )
    try:
        content = read_bounded(path, MAX_BYTES)
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{path}: a mapping of labels to ROI names: {reason}") from error
    array = _checked(path, _unpickled(path, _after_header(path, content)))
    return _checked(path, array[0]) if isinstance(array, list) and len(array) == 1 else array


def _after_header(path: Path, content: bytes) -> bytes:
    """Return what follows the .npy header; raise InputError if the items are not objects."""
    size = {b"\x93NUMPY\x01\x00": 2, b"\x93NUMPY\x02\x00": 4}.get(content[:8], 0)
    start = 8 + size
    end = start + int.from_bytes(content[8:start], "little")
    found = _HEADER.fullmatch(content[start:end].decode("latin1"))
    if not size or found is None or end > len(content):
        raise InputError(_unfit(path, "no .npy file"))
    if found[1] != "|O":
        try:
            kind = str(np.dtype(found[1]))
        except TypeError:
            kind = found[1]
        raise InputError(_unfit(path, f"an array of {kind}"))
    return content[end:]


def _unpickled(path: Path, content: bytes) -> Any:
    try:
        return read_pickle(content)
    except RefusedError as error:
        raise InputError(_refused(path, str(error))) from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        reason = str(error).encode("unicode_escape").decode()[:80]  # it may quote the file's bytes
        raise InputError(_unfit(path, f"a damaged pickle ({reason})")) from error


def _checked(path: Path, value: Any) -> Any:
    """Return what a value means: a plain value, Pairs, or the items of an array."""
    try:
        return _meaning(value)
    except RefusedError as error:
        raise InputError(_refused(path, str(error))) from error
    except (ValueError, TypeError, LookupError) as error:
        raise InputError(_unfit(path, f"a damaged pickle ({type(error).__name__})")) from error


def _meaning(value: Any) -> Any:
    if isinstance(value, Symbol):
        raise RefusedError(_short(value))
    if not isinstance(value, Call):
        return value
    if value.function not in _KNOWN:
        raise RefusedError(_short(value.function))
    if value.function in _ARRAYS:
        return list(value.state[4])
    if value.function in _SCALARS:
        dtype, raw = value.arguments
        return _scalar(dtype, _meaning(raw))
    if value.function == _ENCODE:
        return value.arguments[0].encode("latin1")
    raise RefusedError(f"a call of {value.function}")


def _scalar(dtype: Any, raw: Any) -> int | str:
    """Read one NumPy integer or string from its bytes; refuse every other type."""
    if not isinstance(dtype, Call) or dtype.function != _DTYPE or not isinstance(raw, bytes):
        raise TypeError
    code, order = str(dtype.arguments[0]), ">" if dtype.state[1] == ">" else "<"
    found = re.fullmatch(r"([iuU])(\d{1,6})", code, re.ASCII)
    if found is None:
        raise RefusedError(f"a NumPy scalar of type {reprlib.repr(code)}")
    if len(raw) != int(found[2]) * (4 if found[1] == "U" else 1):
        raise ValueError
    if found[1] == "U":
        return raw.decode("utf-32-be" if order == ">" else "utf-32-le").rstrip("\0")
    return int.from_bytes(raw, "big" if order == ">" else "little", signed=found[1] == "i")


def _short(symbol: Symbol) -> str:
    return str(symbol).encode("unicode_escape").decode()[:80]


def _refused(path: Path, what: str) -> str:
    return (
        f"{path}: refused to load {what}: a mapping of labels to ROI names needs no such thing; "
        "do not trust this file, download it again"
    )


def _unfit(path: Path, found: str) -> str:
    return f"{path}: expected a saved dict of label to ROI name, found {found}; download it again"
