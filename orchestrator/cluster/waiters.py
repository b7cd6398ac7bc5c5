"""Coroutines that wait for something to happen, and are woken for what they wait for alone."""

import asyncio
from collections import defaultdict
from collections.abc import Hashable


class Waiters:
    """Coroutines that wait, by what they wait for.

    Who wakes them does not wait, and a waiter that is woken too early asks again, so a wake-up may
    be one too many, but none is lost.
    """

    def __init__(self) -> None:
        self._waiting: defaultdict[Hashable, list[asyncio.Event]] = defaultdict(list)

    async def wait(self, what: Hashable, seconds: float) -> None:
        """Wait until woken, or until some seconds have passed."""
        woken = asyncio.Event()
        self._waiting[what].append(woken)
        try:
            await asyncio.wait_for(woken.wait(), seconds)
        except TimeoutError:
            return
        finally:
            self._leave(what, woken)

    def wake(self, what: Hashable) -> None:
        """Wake all that wait for something."""
        for woken in self._waiting.pop(what, []):
            woken.set()

    def wake_one(self, what: Hashable) -> None:
        """Wake the one that has waited longest for something, if any waits."""
        if waiting := self._waiting.get(what):
            woken = waiting[0]
            self._leave(what, woken)
            woken.set()

    def _leave(self, what: Hashable, woken: asyncio.Event) -> None:
        waiting = self._waiting.get(what, [])
        if woken in waiting:
            waiting.remove(woken)
        if not waiting:
            self._waiting.pop(what, None)
