"""The line that names the files that no record of a sweep lists."""

from rich.console import Console

from trainables.results.run_directory import RunDirectory
from trainables.results.strangers import describe_strangers, find_strangers


def print_strangers(runs: RunDirectory, console: Console) -> None:
    """Print one line naming the files in a sweep's directory that are left out, if there are any.

    Only their names and records are read, not their content.
    """
    line = describe_strangers(find_strangers(runs))
    if line:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
