"""Every command line in the documentation is one that its command accepts."""

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.__main__ import COMMANDS
from tests.docs.test_pages import PAGES

COMMAND = re.compile(r"\s*(?:cortex-sweep |python -m orchestrator\.)([\w-]+)(.*)")
SHELL = ("", "sh", "bash", "console")


def shell_lines(text: str) -> Iterator[str]:
    """Yield the lines of blocks that are typed into a shell, continued lines as one."""
    language: str | None = None
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("```"):
            if language is None:
                language, lines = line[3:].strip(), []
            else:
                if language in SHELL:
                    yield from "\n".join(lines).replace("\\\n", " ").splitlines()
                language = None
        elif language is not None:
            lines.append(line.removeprefix("%%bash"))


def command_lines(page: Path) -> list[tuple[str, list[str]]]:
    """List the commands of a page with their arguments; alternatives such as a|b are left out."""
    found = []
    for line in shell_lines(page.read_text()):
        if (match := COMMAND.match(line)) and "|" not in line and "…" not in line:
            found.append((match[1].replace("_", "-"), shlex.split(match[2], comments=True)))
    return found


def accept(name: str, arguments: list[str]) -> None:
    """Parse a command line as the command does, without running it; raise for one it refuses."""
    app = importlib.import_module(f"orchestrator.{name.replace('-', '_')}.__main__").app
    app.parse_args(arguments, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_line_is_accepted(page: Path) -> None:
    for name, arguments in command_lines(page):
        accept(name, arguments)


def test_there_are_command_lines_of_every_command() -> None:
    found = [name for page in PAGES for name, _ in command_lines(page)]
    assert set(found) >= set(COMMANDS) - {"mlflow-server"}
    assert len(found) > 25


def test_a_mistyped_option_is_found() -> None:
    page = "```\ncortex-sweep scores \\\n    --comparee a b  # compare\n```\n"
    [line] = shell_lines(page)
    match = COMMAND.match(line)
    assert match is not None
    with pytest.raises(Exception, match="--comparee"):
        accept(match[1], shlex.split(match[2], comments=True))


def test_the_reference_has_every_command() -> None:
    reference = (PAGES[0].parent / "docs" / "commands.md").read_text()
    shown = re.findall(r"cyclopts:: orchestrator\.(\w+)\.__main__:app", reference)
    assert [one.replace("_", "-") for one in shown] == list(COMMANDS)
    # Else the names of subcommands are headings, for which Sphinx has no place there.
    assert reference.count("   :code-block-title:\n") == len(COMMANDS)
