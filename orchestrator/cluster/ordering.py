"""The order in which groups are given a plan: each its own subjects, as far as that goes."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import TypeVar

T = TypeVar("T")
S = TypeVar("S")


def round_robin(
    plan: Sequence[T], n_worker_groups: int, subjects_of: Callable[[T], tuple[S, ...]]
) -> list[T]:
    """Reorder a plan so that what is next is always of as many subjects as there are groups.

    Only the front of a plan is handed out at any time. Subject after subject, all groups would
    read the same one, and each of them every subject; round-robin each keeps to its own. Within a
    subject the order stays, and so do trials of several subjects, which come first.
    """
    several = [one for one in plan if len(subjects_of(one)) > 1]
    by_subject: dict[S, list[T]] = defaultdict(list)
    for one in plan:
        if len(subjects_of(one)) == 1:
            by_subject[subjects_of(one)[0]].append(one)
    lists = list(by_subject.values())
    blocks = [
        lists[start : start + n_worker_groups] for start in range(0, len(lists), n_worker_groups)
    ]
    turns = chain.from_iterable(zip_longest(*block) for block in blocks)
    return [*several, *(one for turn in turns for one in turn if one is not None)]
