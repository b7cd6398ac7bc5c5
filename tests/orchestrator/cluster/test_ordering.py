"""The order in which several groups are given a plan."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cluster.ordering import round_robin

Job = tuple[str, tuple[str, ...]]


def subjects(job: Job) -> tuple[str, ...]:
    return job[1]


def plan(*sizes: int) -> list[Job]:
    """Jobs of a subject after another, so many of each."""
    return [(f"{s}{k}", (f"subj{s}",)) for s, n in enumerate(sizes) for k in range(n)]


def test_one_group_is_given_the_plan_as_it_is() -> None:
    assert round_robin(plan(3, 1, 2), 1, subjects) == plan(3, 1, 2)


def test_two_groups_have_a_subject_each_until_one_of_them_is_done() -> None:
    names = [name for name, _ in round_robin(plan(3, 1, 2), 2, subjects)]
    assert names == ["00", "10", "01", "02", "20", "21"]


def test_trials_of_several_subjects_stay_first() -> None:
    pooled = [("pooled", ("subj0", "subj1"))]
    assert round_robin([*pooled, *plan(1, 1)], 2, subjects) == [*pooled, *plan(1, 1)]


@given(sizes=st.lists(st.integers(0, 5), max_size=6), n_worker_groups=st.integers(1, 8))
def test_nothing_is_lost_and_the_order_within_a_subject_stays(
    sizes: list[int], n_worker_groups: int
) -> None:
    before = plan(*sizes)
    after = round_robin(before, n_worker_groups, subjects)
    assert sorted(after) == sorted(before)
    for subject in {subjects(job) for job in before}:
        own = [job for job in after if subjects(job) == subject]
        assert own == [job for job in before if subjects(job) == subject]
