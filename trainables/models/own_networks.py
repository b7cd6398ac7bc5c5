"""Networks of a user's file: ``path/to/file.py:build``, whose code travels with each trial.

Planning reads the file once and puts its text into the backbone, and a digest of the text into the
name of the architecture: ``file.py:build@0123456789abcdef``. Workers, exports and analyses build
the network from the text, wherever they run; another text is another architecture, with other ids.
"""

import sys
import traceback
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from trainables.spec import Backbone
from trainables.spec.backbone import FILE_BUILDER, source_digest

if TYPE_CHECKING:
    from torch import nn

PYTHON: Final = ".py"
MAX_SOURCE: Final = 2**16
"""The largest file, in bytes: its text is in the record of every trial."""


def with_source(backbone: Backbone) -> Backbone:
    """Return a backbone with the text of its file, if it is a function of one.

    Raises ValueError if there is no such file, if no function of it is named, or if it is too large
    or no text.
    """
    found = FILE_BUILDER.fullmatch(backbone.architecture)
    if found is None and PYTHON in backbone.architecture:
        file = backbone.architecture.partition(PYTHON)[0] + PYTHON
        raise ValueError(
            f"{backbone.architecture}: expected a file and its function that builds the network, "
            f"such as {file}:build"
        )
    if found is None or backbone.source is not None:
        return backbone
    path = Path(found["file"])
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file; name a backbone of your own as path/to/file.py:build, seen "
            "from the directory where the command runs"
        )
    content = path.read_bytes()
    if len(content) > MAX_SOURCE:
        raise ValueError(
            f"{path}: expected at most {MAX_SOURCE:,} bytes of Python, found {len(content):,}; put "
            "weights into --weights FILE"
        )
    try:
        source = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected text in UTF-8 ({error.reason}); save it so") from error
    name = f"{path.name}:{found['function']}@{source_digest(source)}"
    return replace(backbone, architecture=name, source=source)


def build(backbone: Backbone) -> "nn.Module":
    """Run the code of a backbone's file, and call the function that builds it.

    Raises ValueError naming the file, the line and the cure if the code fails, or if the function
    is not there or returns no network.
    """
    from torch import nn

    found = FILE_BUILDER.fullmatch(backbone.architecture)
    assert found is not None  # a backbone with source has such a name
    file, function = found["file"], found["function"]
    try:
        builder = getattr(_module(backbone), function, None)
        network = builder() if callable(builder) else None
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise ValueError(f"{file}: {_where(error, backbone)}; {_CURE}") from error
    if not callable(builder):
        raise ValueError(f"{file}: has no function {function}(); {_CURE}")
    if not isinstance(network, nn.Module):
        kind = type(network).__name__
        raise ValueError(f"{file}: {function}() returned a {kind}; {_CURE}")
    return network


_CURE: Final = (
    "it needs a function without required parameters that returns a torch.nn.Module, and imports "
    "nothing but installed packages"
)


def _module(backbone: Backbone) -> ModuleType:
    """Run the code as a module of its own, which its classes are looked up in.

    What is built on the device ``meta`` has a module apart, whose tensors are there too.
    """
    import torch

    source = backbone.source
    assert source is not None
    device = torch.get_default_device().type
    name = f"own_network_{source_digest(source)}" + ("" if device == "cpu" else f"_{device}")
    if name not in sys.modules:
        module = ModuleType(name)
        sys.modules[name] = module
        try:
            exec(compile(source, _code_name(backbone), "exec"), module.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def _code_name(backbone: Backbone) -> str:
    return f"<{backbone.architecture}>"


def _where(error: BaseException, backbone: Backbone) -> str:
    """Describe an error of the user's code, with its last line in the file."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [one.lineno for one in frames if one.filename == _code_name(backbone)]
    line, text = lines[-1] if lines else None, str(error)
    if isinstance(error, SyntaxError):
        line, text = error.lineno, error.msg
    message = " ".join(text.split())[:200]
    return f"{type(error).__name__}: {message}" + (f" (line {line})" if line else "")
