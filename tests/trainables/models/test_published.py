"""torchvision is imported without the compiler, and works all the same."""

import sys
from types import ModuleType

import pytest

from trainables.models.published import USED, ops, without_compiler


def test_a_stand_in_is_there_only_while_torchvision_is_imported(monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, USED, raising=False)
    with without_compiler():
        stand_in = sys.modules[USED]
    assert USED not in sys.modules
    with pytest.raises(ImportError), without_compiler():
        raise ImportError
    assert USED not in sys.modules
    assert stand_in.is_compile_supported("cpu")  # asks the compiler itself, which is imported now
    assert sys.modules[USED] is not stand_in


def test_a_compiler_that_is_imported_already_stays(monkeypatch) -> None:
    compiler = ModuleType(USED)
    monkeypatch.setitem(sys.modules, USED, compiler)
    with without_compiler():
        assert sys.modules[USED] is compiler
    assert sys.modules[USED] is compiler


def test_the_function_that_needs_the_compiler_works() -> None:
    import torch

    image, box = torch.arange(16.0).reshape(1, 1, 4, 4), [torch.tensor([[0.0, 0.0, 4.0, 4.0]])]
    pooled = ops.roi_align(image, box, 2, sampling_ratio=1)
    assert pooled.tolist() == [[[[5.0, 7.0], [13.0, 15.0]]]]
