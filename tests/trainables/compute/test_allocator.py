"""What the C library's allocator is asked for, where it is glibc."""

import ctypes

import pytest

from trainables.compute.allocator import keep_freed_memory

TRIM, MMAP = -1, -3
"""As in glibc's malloc.h."""


class Library:
    """A C library whose mallopt notes its calls, and refuses some."""

    def __init__(self, refused: tuple[int, ...] = ()) -> None:
        self.asked: dict[int, int] = {}
        self._refused = refused

    def mallopt(self, parameter: int, value: int) -> int:
        self.asked[parameter] = value
        return int(parameter not in self._refused)


@pytest.mark.parametrize(("refused", "accepted"), [((), True), ((TRIM,), False), ((MMAP,), False)])
def test_freed_memory_is_kept_and_large_blocks_are_returned(refused, accepted, monkeypatch) -> None:
    library = Library(refused)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    assert keep_freed_memory() is accepted
    assert library.asked[MMAP] == 32 * 2**20
    assert library.asked.get(TRIM, 512 * 2**20) == 512 * 2**20


def test_another_c_library_is_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not keep_freed_memory()
