"""Command lines: one app per command, from arguments to an exit code.

A command is a function; its parameters are annotated types and frozen dataclasses, whose docstrings
are the help. Nothing here imports Ray or torch, so ``--help`` and input errors are immediate.
"""

import sys
from collections.abc import Callable, Collection, Sequence
from inspect import BoundArguments
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import (
    App,
    CoercionError,
    CycloptsError,
    Parameter,
    UnknownCommandError,
    UnusedCliTokensError,
)

from orchestrator.cli.errors import InputError
from orchestrator.cli.process import Started, run
from trainables.wording import similar

if TYPE_CHECKING:
    from rich.console import Console

PROGRAM: Final = "cortex-sweep"

StartedParameter = Annotated[Started, Parameter(parse=False)]
"""A parameter that receives how the command was started; it has no flag."""


def new_app(name: str, summary: str | None = None) -> App:
    """Make an app without commands; summary: its help, if it has no default command."""
    return App(
        name=name,
        help=summary,
        version_flags=(),
        default_parameter=Parameter(
            negative=(), json_list=False, json_dict=False, allow_repeating=True
        ),
    )


def new_program() -> App:
    """Make the program that all commands belong to."""
    program = new_app(
        PROGRAM,
        "Fine-tune image networks to predict visual cortex, and score them vertex by vertex.",
    )
    program.version_flags = ("--version",)
    program.version = _version
    return program


def _version() -> str:
    from importlib.metadata import version  # only needed here

    return version(PROGRAM)


def run_app(
    app: App, arguments: Sequence[str] | None = None, only: Collection[str] | None = None
) -> int:
    """Run one command of the program; return its exit code.

    arguments: after the command's name; None: those of the process. only: see :class:`Started`.
    """
    program = new_program()
    program.command(app)
    given = sys.argv[1:] if arguments is None else arguments
    return run_program(program, (app.name[0], *given), only)


def run_program(program: App, arguments: Sequence[str], only: Collection[str] | None = None) -> int:
    """Run the program; return the command's exit code (0 for None), or 2 for bad input.

    arguments: the command's name and its arguments. only: see :class:`Started`.
    """
    codes: list[int] = []

    def body() -> None:
        command, values, unparsed = _parse(program, arguments)
        _check_directory(command)
        module = f"orchestrator.{arguments[0].replace('-', '_')}" if arguments else ""
        started = Started(module, tuple(arguments[1:]), only)
        codes.append(
            command(*values.args, **values.kwargs, **dict.fromkeys(unparsed, started)) or 0
        )

    return run(body) or codes[0]


def _check_directory(command: Callable[..., int | None]) -> None:
    """Raise InputError if the working directory was deleted and the command may need it."""
    if _is_help(command):
        return
    try:
        Path.cwd()
    except OSError:
        raise InputError(
            "the working directory was deleted; cd to another one, and run the command again"
        ) from None


def _is_help(command: Callable[..., int | None]) -> bool:
    return getattr(command, "__func__", None) is App.help_print


def _new_console() -> "Console":
    """Make a console, which has the width and the streams of this moment."""
    from rich.console import Console  # only needed here

    return Console()


def _parse(
    program: App, arguments: Sequence[str]
) -> tuple[Callable[..., int | None], BoundArguments, Collection[str]]:
    """Find the command's function, its arguments, and the parameters that no flag sets."""
    given = list(arguments)
    asks_for_help = bool({"--help", "-h"} & set(given))
    if asks_for_help:
        _import_commands(program)
        program.console = _new_console()
    try:
        command, values, unparsed = program.parse_args(
            given, print_error=False, exit_on_error=False
        )
    except CycloptsError as error:
        raise InputError(_message(error) + _meant(program, error)) from error
    if _is_help(command) and not asks_for_help:
        chain, apps, _ = program.parse_commands(given)
        names = [name for name in apps[-1] if not name.startswith("-")]
        raise InputError(
            f"{' '.join((PROGRAM, *chain))}: expected a command: {', '.join(names)}; "
            "--help describes each"
        )
    return command, values, unparsed


def _import_commands(program: App) -> None:
    """Import the commands that are registered by import path, to show their help."""
    for name in program:
        program[name]


def _message(error: CycloptsError) -> str:
    """Describe a parsing error in one line."""
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"unexpected argument {error.unused_tokens[0]!r}; --help shows what is expected"
    if isinstance(error, CoercionError) and isinstance(error.__cause__, InputError):
        token = error.argument.tokens[-1] if error.argument else error.token
        return f"{(token and token.keyword) or ''} {error.__cause__}".strip()
    return str(error)


def _meant(program: App, error: CycloptsError) -> str:
    """Name the command of a command that was probably meant, such as ``sweep status``."""
    if not isinstance(error, UnknownCommandError) or "Did you mean" in str(error):
        return ""
    token = (error.unused_tokens or [""])[0].lower()
    if token.startswith("-"):
        return ""
    nested = {
        child: f"{name} {child}"
        for name in reversed(list(program))  # of commands with such a child, the first is meant
        for child in program[name]
        if not (name.startswith("-") or child.startswith("-"))
    }
    found = similar(token, nested)
    return f" Did you mean {nested[found]!r}?" if found else ""
