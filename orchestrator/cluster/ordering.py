"""The order of jobs, chosen so that each worker group can keep to its own subjects."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import TypeVar

T = TypeVar("T")
S = TypeVar("S")


def round_robin(
    plan: Sequence[T], n_worker_groups: int, subjects_of: Callable[[T], tuple[S, ...]]
) -> list[T]:
    """Reorder a plan so that the next jobs always cover as many subjects as there are groups.

    Only the first jobs of a plan are available to groups at any time. Ordered by subject, all
    groups would read the same subject, and in the end every subject; in round-robin order, each
    group keeps to its own. The order within a subject is unchanged, and trials of several subjects
    stay first.
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
