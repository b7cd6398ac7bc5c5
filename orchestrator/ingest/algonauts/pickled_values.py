"""Read the values in a pickle without unpickling it: nothing that it names is imported or called.

The instructions that NumPy writes for a dict are interpreted here; every other one is refused.
Functions, calls and states become inert descriptions, and dicts become lists of pairs, so that no
key is hashed. Time and memory are therefore proportional to the size of the pickle.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

Values = list[Any]


class RefusedError(ValueError):
    """Something in a pickle that is not read."""


@dataclass(frozen=True)
class Symbol:
    """The name of a function or class."""

    module: str
    name: str

    def __str__(self) -> str:
        """Return the dotted name."""
        return f"{self.module}.{self.name}"


@dataclass
class Call:
    """A call that unpickling would make, and the state that it would give the result."""

    function: Symbol
    arguments: tuple[Any, ...]
    state: Any = None


@dataclass
class Pairs:
    """The items of a dict, in order; of equal keys, the last one counts."""

    items: list[tuple[Any, Any]] = field(default_factory=list)


_MARK: Final = object()

_IGNORED: Final = frozenset(("PROTO", "FRAME"))
_CONSTANTS: Final = frozenset(
    (
        *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
        *("SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINSTRING", "BINSTRING"),
        *("SHORT_BINBYTES", "BINBYTES"),
    )
)
"""Instructions whose argument is a value."""

_NEW: Final[dict[str, Callable[[], Any]]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "MARK": lambda: _MARK,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": Pairs,
}
"""Instructions without an argument that add a value."""


def read_pickle(content: bytes) -> Any:
    """Return the value that a pickle describes, made of the types above and plain values.

    Raises RefusedError for an instruction that is not read, and ValueError, IndexError, KeyError or
    TypeError for a damaged pickle.
    """
    machine = _Machine()
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name == "STOP":
            return machine.stack.pop()
        machine.run(opcode.name, argument)
    raise ValueError("it has no end")


class _Machine:
    """The stack and the memo of the instructions read so far."""

    def __init__(self) -> None:
        self.stack: Values = []
        self._memo: dict[int, Any] = {}

    def run(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self.stack.append(argument)
        elif name in _NEW:
            self.stack.append(_NEW[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name in ("PERSID", "BINPERSID"):
            raise RefusedError("a reference to an object outside the file")
        elif name not in _IGNORED:
            raise RefusedError(f"the pickle instruction {name}")

    def pop(self) -> Any:
        """Remove and return the last value; raise ValueError for a mark."""
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("a value is missing")
        return value

    def last(self, kind: type[Any]) -> Any:
        """Return the last value, which has to be of a type."""
        if not isinstance(self.stack[-1], kind):
            raise TypeError(f"a {type(self.stack[-1]).__name__} in place of a {kind.__name__}")
        return self.stack[-1]

    def since_mark(self) -> Values:
        """Remove and return the values after the last mark, and the mark."""
        values: Values = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def make_tuple(self, n: int | None) -> None:
        values = self.since_mark() if n is None else [self.pop() for _ in range(n)][::-1]
        self.stack.append(tuple(values))

    def append(self, *, many: bool) -> None:
        values = self.since_mark() if many else [self.pop()]
        self.last(list).extend(values)

    def set_items(self, *, many: bool) -> None:
        values = self.since_mark() if many else [self.pop(), self.pop()][::-1]
        self.last(Pairs).items.extend(zip(values[::2], values[1::2], strict=True))

    def remember(self, number: int | None) -> None:
        self._memo[len(self._memo) if number is None else number] = self.stack[-1]

    def recall(self, number: int) -> None:
        self.stack.append(self._memo[number])

    def name(self, dotted: str | None) -> None:
        if dotted is None:
            name, module = self.pop(), self.pop()
        else:
            module, _, name = dotted.partition(" ")
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("a name that is no text")
        self.stack.append(Symbol(module, name))

    def call(self) -> None:
        arguments = self.pop()
        function = self.pop()
        if not isinstance(function, Symbol) or not isinstance(arguments, tuple):
            raise TypeError("a call of what is no function")
        self.stack.append(Call(function, arguments))

    def build(self) -> None:
        state = self.pop()
        self.last(Call).state = state


_STEPS: Final[dict[str, Callable[[_Machine, Any], None]]] = {
    "TUPLE": lambda machine, _: machine.make_tuple(None),
    "TUPLE1": lambda machine, _: machine.make_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_tuple(3),
    "APPEND": lambda machine, _: machine.append(many=False),
    "APPENDS": lambda machine, _: machine.append(many=True),
    "SETITEM": lambda machine, _: machine.set_items(many=False),
    "SETITEMS": lambda machine, _: machine.set_items(many=True),
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "MEMOIZE": _Machine.remember,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name,
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
}
"""What each further instruction does to the stack."""
