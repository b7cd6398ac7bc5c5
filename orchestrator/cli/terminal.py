"""Output that degrades, and never fails: on terminals that lack characters, and without a reader.

A locale such as Latin-1 has no “…” and no “α”; they are replaced. A closed pipe or terminal takes
no more output; the command goes on without.
"""

import codecs
import errno
import os
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console

STANDARD: Final = ("stdout", "stderr")
SUBSTITUTE: Final = "orchestrator.substitute"
"""Name of the handler of characters that an encoding lacks."""
REPLACED_HANDLERS: Final = ("strict", "surrogateescape", "backslashreplace")
"""Python's defaults; a handler that the user chose by PYTHONIOENCODING is kept."""
GONE: Final = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO)
"""Errors of a pipe or terminal that nobody reads any more; others, such as a full disk, matter."""
ASCII: Final[Mapping[str, str]] = {
    "…": "...",
    "–": "-",
    "—": "-",
    "−": "-",
    "‑": "-",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "×": "x",
    "·": ".",
    "•": "*",
    "→": "->",
    "←": "<-",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "±": "+/-",
    "√": "sqrt",
    "⁄": "/",
    "█": "#",
}


def in_ascii(text: str) -> str:
    """Replace each character outside ASCII by some that resemble it, or by ``?``."""
    return "".join(one if one.isascii() else _substitute(one) for one in text)


def _substitute(character: str) -> str:
    if character in ASCII:
        return ASCII[character]
    if "\udc80" <= character <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    name = unicodedata.name(character, "")
    if name.startswith("BOX DRAWINGS"):
        is_line = " AND " not in name
        return {"HORIZONTAL": "-", "VERTICAL": "|"}.get(name.split()[-1] if is_line else "", "+")
    if name.startswith("GREEK SMALL LETTER"):
        return name.split()[3].lower()
    parts = unicodedata.normalize("NFKD", character)
    if parts == character:
        return "" if unicodedata.combining(character) else "?"
    return in_ascii(parts)


def _handle(error: UnicodeError) -> tuple[str, int]:
    """Handle characters that an encoding lacks, as :func:`codecs.register_error` expects."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return in_ascii(error.object[error.start : error.end]), error.end


class _Tolerant:
    """A standard stream that discards its output once it can't be written."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.failure: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, or discard it."""
        try:
            self._stream.write(text)
        except OSError as error:
            self._discard(error)
        return len(text)

    def flush(self) -> None:
        """Flush what was written, or discard it."""
        try:
            self._stream.flush()
        except OSError as error:
            self._discard(error)

    def _discard(self, error: OSError) -> None:
        """Send what is still buffered, and further output, nowhere."""
        self.failure = self.failure or error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        with suppress(OSError):  # a stream without a descriptor
            os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def can_redraw(console: "Console") -> bool:
    """Return whether lines can be redrawn: on a terminal, not where colours alone are wanted.

    A notebook sets FORCE_COLOR for the commands that it runs, and shows each redrawing as lines.
    """
    return console.is_terminal and ("FORCE_COLOR" not in os.environ or console.file.isatty())


def open_standard_streams() -> None:
    """Open standard streams that were closed when the process started, as ``>&-`` does.

    Else the next files to be opened would take their places.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name in STANDARD:
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115


@contextmanager
def degrading_output() -> Iterator[list[str]]:
    """Make the standard streams degrade within the block; yield a list of what was lost.

    At the end of the block, the list has a line for each stream that could not be written although
    somebody may still read it, such as a file on a full disk.
    """
    codecs.register_error(SUBSTITUTE, _handle)
    open_standard_streams()
    before = {name: getattr(sys, name) for name in STANDARD}
    tolerant = {name: _Tolerant(stream) for name, stream in before.items()}
    handlers = {name: stream.errors for name, stream in before.items()}
    for name, stream in before.items():
        _handle_by(stream, SUBSTITUTE)
        setattr(sys, name, tolerant[name])
    lost: list[str] = []
    try:
        yield lost
    finally:
        for name, stream in before.items():
            tolerant[name].flush()
            setattr(sys, name, stream)
            if handlers[name] is not None:
                _handle_by(stream, handlers[name])
            failure = tolerant[name].failure
            if failure is not None and failure.errno not in GONE:
                lost.append(f"{name}: {failure.strerror}; its output is incomplete")


def _handle_by(stream: Any, handler: str) -> None:
    """Set a stream's handler of characters that it lacks, unless the user chose one."""
    if stream.errors in (*REPLACED_HANDLERS, SUBSTITUTE) and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=handler)
