"""torchvision's networks, imported without torch's compiler. Import them from here.

torchvision imports the compiler for one function of object detection. That is 1.6 of the 4.4
CPU-seconds that a worker's imports take, and only a training needs it, whose optimiser imports it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

USED: Final = "torch._dynamo.utils"
"""The module of the compiler that torchvision imports a function from."""


@contextmanager
def without_compiler() -> Iterator[None]:
    """Import torchvision within the block with a stand-in for the module of the compiler."""
    if USED in sys.modules:
        yield
        return
    stand_in: Any = ModuleType(USED)
    stand_in.is_compile_supported = _is_compile_supported
    sys.modules[USED] = stand_in
    try:
        yield
    finally:
        del sys.modules[USED]


def _is_compile_supported(device_type: str) -> bool:
    """Ask the compiler, which is imported when a function of object detection is called."""
    from torch._dynamo.utils import is_compile_supported

    return bool(is_compile_supported(device_type))


with without_compiler():
    from torchvision import models, ops
    from torchvision.models import feature_extraction

__all__ = ["feature_extraction", "models", "ops"]
