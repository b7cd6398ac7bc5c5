"""Output on terminals that lack characters, width or a reader: it degrades, and never fails."""

import errno
import io
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.__main__ import COMMANDS, main
from orchestrator.cli import terminal
from orchestrator.cli.process import run
from orchestrator.cli.terminal import can_redraw, degrading_output, in_ascii
from orchestrator.cli.text import new_table

HELP = [(name,) for name in COMMANDS] + [
    (),
    ("sweep", "status"),
    ("sweep", "retry"),
    ("sweep", "cancel"),
    *(("ingest", layout) for layout in ("algonauts", "nod", "task", "simulate")),
]


class Stream(io.TextIOWrapper):
    """A standard stream in some encoding, whose bytes can be read afterwards."""

    def __init__(self, encoding: str, errors: str = "strict") -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding=encoding, errors=errors)

    @property
    def said(self) -> str:
        self.flush()
        return self.bytes.getvalue().decode(self.encoding)


@pytest.fixture
def streams(monkeypatch):
    """Replace both standard streams by ones of an encoding; return them."""

    def replace(encoding: str, errors: str = "strict") -> tuple[Stream, Stream]:
        both = Stream(encoding, errors), Stream(encoding, errors)
        monkeypatch.setattr(sys, "stdout", both[0])
        monkeypatch.setattr(sys, "stderr", both[1])
        return both

    return replace


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("command", HELP, ids=" ".join)
def test_help_is_printed_in_every_locale_and_width(streams, monkeypatch, command, encoding) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out, err = streams(encoding)
    assert main([*command, "--help"]) == 0
    assert out.said.startswith("Usage: cortex-sweep")
    assert max(len(line.rstrip()) for line in out.said.splitlines()[3:]) <= 40 + len("...")
    assert err.said == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 – 2 … × 3 − 4 — 5", "1 - 2 ... x 3 - 4 - 5"),
        ("α τ σ ρ", "alpha tau sigma rho"),
        ("╭─┬─╮│═║┼", "+-+-+|-|+"),
        ("R² ½ é ï", "R2 1/2 e i"),
        ("“a” ‘b’", "\"a\" 'b'"),
        ("日本 ⠋", "?? ?"),
        ("r\udcff.png", r"r\xff.png"),
    ],
)
def test_characters_are_replaced_by_some_that_resemble_them(text, expected) -> None:
    assert in_ascii(text) == expected


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("utf-8", "é × α"), ("latin-1", "é × alpha"), ("ascii", "e x alpha")],
)
def test_only_what_an_encoding_lacks_is_replaced(streams, encoding, expected) -> None:
    out, _ = streams(encoding)
    with degrading_output():
        sys.stdout.write("é × α")
    assert out.said == expected


def test_a_file_name_that_is_not_utf_8_is_printed(streams) -> None:
    out, err = streams("utf-8")

    def refuse() -> None:
        sys.stdout.write("r\udcff.png\n")
        raise ValueError("r\udcff.png: damaged")

    assert run(refuse) == 2
    assert out.said == "r\\xff.png\n"
    assert err.said == "error: r\\xff.png: damaged\n"


@pytest.mark.parametrize(
    ("chosen", "expected"), [("ignore", "a  b"), ("xmlcharrefreplace", "a &#945; b")]
)
def test_a_handler_that_the_user_chose_is_kept(streams, chosen, expected) -> None:
    out, _ = streams("ascii", chosen)
    with degrading_output():
        sys.stdout.write("a α b")
    assert out.said == expected


def test_the_streams_are_as_before_afterwards(streams) -> None:
    out, err = streams("latin-1", "surrogateescape")
    with degrading_output():
        assert sys.stdout is not out
    assert (sys.stdout, sys.stderr) == (out, err)
    assert out.errors == "surrogateescape"


@pytest.mark.parametrize("columns", ["0", "5", "40", "400"])
def test_a_table_is_printed_in_every_width(streams, monkeypatch, columns) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    out, _ = streams("ascii")

    def show() -> None:
        table = new_table("scores – α", "caption …")
        table.add_column("ROI")
        table.add_column("mean r")
        table.add_row("nsd-subj01-lh-V1v", "0.123")
        Console().print(table)

    assert run(show) == 0
    assert "scores - alpha" in out.said
    assert "0.123" in out.said


def broken_pipe() -> io.TextIOWrapper:
    """Open a pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", encoding="utf-8")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_command_whose_output_nobody_reads_does_its_work(streams, monkeypatch, stream) -> None:
    both = dict(zip(("stdout", "stderr"), streams("utf-8"), strict=True))
    monkeypatch.setattr(sys, stream, broken_pipe())
    done = []

    def work() -> None:
        for number in range(3000):
            getattr(sys, stream).write("a line that nobody reads\n" * 10)
            getattr(sys, stream).flush()
            done.append(number)

    assert run(work) == 0
    assert len(done) == 3000
    getattr(sys, stream).close()  # nothing is left that could not be written
    del both[stream]
    assert [one.said for one in both.values()] == [""]


class Failing(Stream):
    """A stream that can't be written."""

    def __init__(self, number: int) -> None:
        super().__init__("utf-8")
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))


def say() -> None:
    Console().print("a line")


@pytest.mark.parametrize("number", [errno.EIO, errno.ENXIO])
def test_a_terminal_that_was_closed_ends_nothing(streams, monkeypatch, number) -> None:
    _, err = streams("utf-8")
    monkeypatch.setattr(sys, "stdout", Failing(number))
    assert run(say) == 0
    assert err.said == ""


def test_output_that_a_full_disk_lost_is_an_error(streams, monkeypatch) -> None:
    _, err = streams("utf-8")
    monkeypatch.setattr(sys, "stdout", Failing(errno.ENOSPC))
    assert run(say) == 1
    assert err.said == "error: stdout: No space left on device; its output is incomplete\n"


def test_nothing_is_redrawn_where_colours_alone_are_wanted_as_in_a_notebook(monkeypatch) -> None:
    assert can_redraw(Console(file=io.StringIO(), force_terminal=True))
    assert not can_redraw(Console(file=io.StringIO(), force_terminal=False))
    monkeypatch.setenv("FORCE_COLOR", "1")
    colours = Console(file=io.StringIO())
    assert colours.is_terminal
    assert not can_redraw(colours)


def test_streams_that_were_closed_at_the_start_are_opened(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert run(say) == 0
    for name in terminal.STANDARD:
        getattr(sys, name).close()


def test_a_deleted_working_directory_is_named_and_help_is_given(
    streams, monkeypatch, tmp_path
) -> None:
    out, err = streams("utf-8")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["sweep", "status"]) == 2
    assert err.said.startswith("error: the working directory was deleted; cd to another one")
    assert main(["--help"]) == 0
    assert out.said.startswith("Usage: cortex-sweep")
    monkeypatch.chdir(Path("/"))
