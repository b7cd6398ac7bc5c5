"""Read an ROI family's mapping file without running what it may contain.

``mapping_prf-visualrois.npy`` is ``np.save(path, {1: "V1v", …})``: an .npy header, then a pickle.
A pickle can name any function to call. This one may name only what NumPy writes for such a dict,
and even these names resolve to the stand-ins below instead of NumPy.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from orchestrator.cli.errors import InputError
from trainables.spec import is_name

MAX_BYTES: Final = 1 << 20
"""A real mapping has a few hundred bytes; a larger file is something else, or malicious."""


class _RefusedError(pickle.UnpicklingError):
    """Something that no mapping needs, and that was not loaded."""


class _Dtype:
    """Stand in for numpy.dtype: remember the type's code, and nothing else."""

    def __init__(self, code: str, *_: object) -> None:
        self.code = code
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"

    def decode(self, raw: bytes) -> int | str:
        """Read one integer or string; refuse every other type."""
        if self.code[:1] not in ("i", "u", "U"):
            raise _RefusedError(f"a NumPy scalar of type {self.code!r}")
        value = np.frombuffer(raw, np.dtype(self.order + self.code), count=1)[0]
        return str(value) if self.code[0] == "U" else int(value)


class _Array:
    """Stand in for numpy.ndarray: hold the objects of an object array."""

    content: tuple[object, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.content = tuple(state[4])


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _scalar(dtype: _Dtype, raw: bytes) -> int | str:
    return dtype.decode(raw)


def _encode(text: str, _: str) -> bytes:
    return text.encode("latin1")


_ADMITTED: Final[dict[tuple[str, str], Callable[..., object]]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,  # how pickle's protocol 2 writes bytes
    **{
        (f"numpy.{core}.multiarray", name): stand_in
        for core in ("core", "_core")  # NumPy 1 and NumPy 2
        for name, stand_in in (("_reconstruct", _reconstruct), ("scalar", _scalar))
    },
}


class _MappingUnpickler(pickle.Unpickler):
    """Unpickle a NumPy-saved dict of int to str, and refuse every other name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise _RefusedError(f"{module}.{name}")
        return _ADMITTED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError("a reference to an object outside the file")


def read_mapping(path: Path) -> dict[int, str]:
    """Read {label: ROI name} from a mapping file, names stripped of white space.

    Raises InputError, naming the file and what was found or refused in it.
    """
    content = _read_object(path)
    if not isinstance(content, dict):
        raise InputError(_unfit(path, f"a {type(content).__name__}"))
    names: dict[int, str] = {}
    for label, name in content.items():
        if type(label) is not int or not isinstance(name, str):
            raise InputError(
                _unfit(path, f"an entry of {type(label).__name__} to {type(name).__name__}")
            )
        names[label] = name.strip()
        if not is_name(names[label]):
            raise InputError(_unfit(path, f"the name {name!r}"))
    return names


def _read_object(path: Path) -> object:
    if not path.is_file():
        raise InputError(
            f"{path}: the mapping of labels to ROI names is missing; download it again"
        )
    if path.stat().st_size > MAX_BYTES:
        raise InputError(_unfit(path, f"{path.stat().st_size:,} bytes"))
    with path.open("rb") as stream:
        _skip_header(path, stream)
        try:
            array = _MappingUnpickler(stream).load()
        except _RefusedError as error:
            raise InputError(
                f"{path}: refused to load {error}: a mapping of labels to ROI names needs no such "
                "thing; do not trust this file, download it again"
            ) from error
        except Exception as error:  # a damaged pickle can raise nearly anything
            reason = str(error).encode("unicode_escape").decode()  # it may quote the file's bytes
            raise InputError(_unfit(path, f"a damaged pickle ({reason})")) from error
    content = array.content if isinstance(array, _Array) else ()
    return content[0] if len(content) == 1 else content


def _skip_header(path: Path, stream: BinaryIO) -> None:
    """Read past the .npy header; raise InputError when the array's items are not objects."""
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        dtype = read(stream)[2]
    except Exception as error:  # NumPy evaluates the header, so this can raise nearly anything
        raise InputError(_unfit(path, "no .npy file")) from error
    if not dtype.hasobject:
        raise InputError(_unfit(path, f"an array of {dtype}"))


def _unfit(path: Path, found: str) -> str:
    return f"{path}: expected a saved dict of label to ROI name, found {found}; download it again"
