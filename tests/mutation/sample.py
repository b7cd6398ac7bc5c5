"""Samples of faults, stratified over modules."""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence


def module_of(name: str) -> str:
    """Return the file that a fault is in, relative to the repository."""
    return name.rpartition(".")[0].replace(".", "/") + ".py"


def in_random_order(names: Iterable[str], seed: int) -> list[str]:
    """Order faults so that the first n, for every n, are a sample stratified over modules.

    The faults of each module are permuted, and the permutations interleaved in proportion to their
    lengths.
    """
    by_module: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        by_module[module_of(name)].append(name)
    keyed: list[tuple[float, str]] = []
    for module, own in sorted(by_module.items()):
        chance = random.Random(f"{seed} {module}")
        keyed += zip(_places(len(own), chance), chance.sample(own, len(own)), strict=True)
    return [name for _, name in sorted(keyed)]


def _places(n: int, chance: random.Random) -> Sequence[float]:
    """Return n places of equal distances in [0, 1), from a random start."""
    start = chance.random()
    return [(i + start) / n for i in range(n)]
