"""Parse values on the command line: numbers in ASCII digits within bounds, and names.

Each function raises InputError with the value, shortened if it is long, and what was expected.
"""

import re
from typing import Final

from orchestrator.cli.errors import InputError

MOST: Final = 10**9
"""The largest accepted count."""
MOST_GPUS: Final = 1024
MOST_MINUTES: Final = 60 * 24 * 366
MAX_DIGITS: Final = 18
MAX_NAME: Final = 250
"""The most characters of an MLflow experiment's name, by its database's column."""
SHOWN: Final = 40


def shortened(text: str) -> str:
    """Quote a text for a message; only its start if it is long."""
    return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r}… ({len(text):,} characters)"


def integer(text: str, low: int, high: int) -> int | None:
    """Parse an integer in ASCII digits; return None for anything else, or outside the bounds."""
    if not re.fullmatch(r"-?[0-9]+", text) or len(text) > MAX_DIGITS:
        return None
    number = int(text)
    return number if low <= number <= high else None


def positive_integer(text: str) -> int:
    """Parse an integer from 1 to MOST."""
    if (number := integer(text, 1, MOST)) is None:
        raise InputError(f"{shortened(text)}: expected an integer above 0, at most {MOST}")
    return number


def non_negative_integer(text: str) -> int:
    """Parse an integer from 0 to MOST."""
    if (number := integer(text, 0, MOST)) is None:
        raise InputError(f"{shortened(text)}: expected an integer of 0 or more, at most {MOST}")
    return number


def _number(text: str) -> float:
    """Parse a number in ASCII digits, without underscores; return NaN for anything else."""
    is_number = re.fullmatch(r"[0-9]*\.?[0-9]*([eE][+-]?[0-9]{1,3})?", text)
    try:
        return float(text) if is_number and len(text) <= SHOWN else float("nan")
    except ValueError:
        return float("nan")


def gpu_share(text: str) -> float:
    """Parse a share of a GPU, or a number of whole GPUs."""
    share = _number(text)
    if not (0 <= share <= 1 or (1 < share <= MOST_GPUS and share.is_integer())):
        expected = "0, a share below 1, or a whole number of GPUs"
        raise InputError(f"{shortened(text)}: expected {expected}")
    return share


def minutes(text: str) -> float:
    """Parse minutes, more than none and at most a year; return seconds."""
    number = _number(text)
    if not 0 < number <= MOST_MINUTES:
        raise InputError(f"{shortened(text)}: expected minutes above 0, at most {MOST_MINUTES}")
    return 60 * number


def default_experiment(dataset: str, *, is_simulated: bool) -> str:
    """Name the MLflow experiment of a data set; simulated trials have one of their own."""
    return f"{dataset}-simulated" if is_simulated else dataset


def experiment_name(text: str) -> str:
    """Parse the name of an MLflow experiment: some printable text."""
    if not (text.strip() and text.isprintable() and len(text) <= MAX_NAME):
        raise InputError(f"{shortened(text)}: expected 1 to {MAX_NAME} printable characters")
    return text
