"""Every file, command, target, link and flag that the documentation names exists."""

import re
from pathlib import Path

import pytest

from orchestrator.__main__ import COMMANDS

ROOT = Path(__file__).parents[2]
AT_THE_TOP = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = [
    *(ROOT / name for name in AT_THE_TOP),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "gallery").glob("*.md")),
]
CODE = ("trainables", "orchestrator", "search_spaces", "tests", "benchmarks", "clusters", "docs")
PATH = re.compile(rf"(?<![\w/.$-])(?:{'|'.join(CODE)})/[\w./-]*\w/?")
FILE = re.compile(r"`([a-z_0-9]+\.py)`")
MODULE = re.compile(r"python -m ([\w.]+)")
COMMAND = re.compile(r"(?:`|^)cortex-sweep ([a-z][\w-]*)", re.MULTILINE)
TARGET = re.compile(r"(?:`|^)make ([a-z][\w-]*)", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([\w./-]*)(?:#([\w-]+))?\)")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
OUTSIDE = [
    "--strict",
    "--generate",
    "--nodes",
    "--cpus-per-task",
    "--gpus-per-node",
    "--time",
    "--tmux",
]
"""Flags of other programs: mypy's, Ray's, Slurm's."""
IN_FLIGHT = ("my_space.py", "temperatures.py")
"""Files that a user would write."""


def text_of(page: Path) -> str:
    return page.read_text()


def all_matches(pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    return [
        (page.name, match.group(match.lastindex or 0))
        for page in PAGES
        for match in pattern.finditer(text_of(page))
    ]


def test_every_path_that_the_pages_name_is_in_the_tree() -> None:
    named = all_matches(PATH)
    missing = sorted({one for one in named if not (ROOT / one[1]).exists()})
    assert missing == []
    assert len(named) > 100


def test_every_python_file_that_the_pages_name_alone_is_in_the_tree() -> None:
    known = {path.name for folder in CODE for path in (ROOT / folder).rglob("*.py")}
    named = all_matches(FILE)
    missing = sorted({one for one in named if one[1] not in known.union(IN_FLIGHT)})
    assert missing == []
    assert len(named) > 10


def test_every_module_that_the_pages_run_can_be_run() -> None:
    named = all_matches(MODULE)
    missing = sorted({one for one in named if not _can_be_run(one[1])})
    assert missing == []
    assert len(named) > 50


def _can_be_run(module: str) -> bool:
    path = ROOT / Path(*module.split("."))
    if path.is_dir():
        return (path / "__main__.py").is_file()
    file = path.with_suffix(".py")
    return file.is_file() and '__name__ == "__main__"' in file.read_text()


def test_every_command_that_the_pages_run_is_one_of_the_program() -> None:
    named = all_matches(COMMAND)
    assert sorted({one for one in named if one[1] not in COMMANDS}) == []
    assert len(named) > 5


def test_every_make_target_that_the_pages_name_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = all_matches(TARGET)
    assert sorted({one for one in named if one[1] not in targets}) == []
    assert len(named) > 10


def test_every_link_between_pages_leads_to_a_file_and_a_heading() -> None:
    n_links = 0
    broken = []
    for page in PAGES:
        for target, anchor in LINK.findall(text_of(page)):
            n_links += 1
            file = (page.parent / target) if target else page
            if not file.exists() or (anchor and anchor not in _anchors(file)):
                broken.append((page.name, target, anchor))
    assert broken == []
    assert n_links > 30


def _anchors(page: Path) -> set[str]:
    """Name a page's headings as links do: lower case, spaces as hyphens, no punctuation."""
    titles = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_flag_that_the_pages_name_is_one_of_a_command() -> None:
    sources = [
        path for folder in ("orchestrator", "benchmarks", "tests") for path in _sources(folder)
    ]
    code = "\n".join(text_of(path) for path in sources)
    named = [one for one in all_matches(FLAG) if one[1] not in OUTSIDE]
    missing = sorted({one for one in named if not _is_declared(one[1], code)})
    assert missing == []
    assert len(named) > 80


def _is_declared(flag: str, code: str) -> bool:
    """Return whether code has a flag, as a string or as an annotated parameter."""
    name = flag.removeprefix("--").replace("-", "_")
    return f'"{flag}"' in code or re.search(rf"\b{name}\s*:", code) is not None


def _sources(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert len(found) > 10
    return found


@pytest.mark.parametrize(
    "page", [one for one in PAGES[2:] if one.name != "index.md"], ids=lambda page: page.stem
)
def test_a_page_is_linked_from_another(page: Path) -> None:
    others = [text_of(one) for one in PAGES if one != page]
    listed = re.compile(rf"^(?:gallery/)?{page.stem}$", re.MULTILINE)  # in a table of contents
    linked = (f"{page.name})", f"{page.name}#")
    assert any(listed.search(one) or any(link in one for link in linked) for one in others)
