"""Whether the beginning of the order of faults is a sample stratified over modules."""

from collections import Counter

import pytest

from tests.mutation.sample import in_random_order, module_of

SIZES = {"a.wide": 300, "a.b.narrow": 50, "c.single": 1}
FAULTS = [f"{module}.x_f__mutmut_{i}" for module, n in SIZES.items() for i in range(n)]


def test_the_module_of_a_fault_is_a_file():
    assert module_of("trainables.encoding.pca.x__of_features__mutmut_13") == (
        "trainables/encoding/pca.py"
    )
    assert module_of("orchestrator.scores.xǁImagesǁof_rows__mutmut_16") == "orchestrator/scores.py"
    assert module_of("orchestrator.xml.export.x_write__mutmut_1") == "orchestrator/xml/export.py"


@pytest.mark.parametrize("n", [7, 70, 200, 351])
def test_the_first_faults_are_spread_over_modules_in_proportion(n):
    drawn = Counter(map(module_of, in_random_order(FAULTS, seed=0)[:n]))
    for module, size in SIZES.items():
        share = drawn[module.replace(".", "/") + ".py"] - n * size / len(FAULTS)
        assert abs(share) <= 1.5


def test_every_fault_comes_once_in_an_order_that_the_seed_decides():
    order = in_random_order(reversed(FAULTS), seed=3)
    assert sorted(order) == sorted(FAULTS)
    assert order == in_random_order(FAULTS, seed=3) != in_random_order(FAULTS, seed=4)


def test_within_a_module_every_fault_is_as_likely_to_be_drawn():
    one, n_orders, n = FAULTS[0], 400, 100
    drawn = sum(one in in_random_order(FAULTS, seed=seed)[:n] for seed in range(n_orders))
    assert abs(drawn / n_orders - n / len(FAULTS)) < 0.1  # four standard errors
