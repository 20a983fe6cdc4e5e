"""What lies between threads: a one-place slot, a bounded queue, both of which can be closed, and a meter of rates."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Stop(Protocol):
    """Whether work is to end: an event of this process, or of several."""

    def is_set(self) -> bool: ...


class Closed(Exception):
    """The channel was closed by the other side."""


class BoundedQueue(Generic[T]):
    """A first-in first-out queue that never drops and never outgrows ``capacity``.

    ``put`` waits while it is full and ``get`` while it is empty; :meth:`close` wakes both, so that no thread is
    left waiting for one that is gone.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._closed = False
        self._error: BaseException | None = None

    def put(self, item: T) -> None:
        """Add an item, waiting for room.

        Raises:
            Closed: the queue was closed, before or while waiting.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                raise Closed
            self._items.append(item)
            self._changed.notify_all()

    def offer(self, item: T) -> bool:
        """Add an item if there is room at once; whether there was.

        Raises:
            Closed: the queue was closed.
        """
        with self._changed:
            if self._closed:
                raise Closed
            if len(self._items) >= self._capacity:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self) -> T:
        """Take the oldest item, waiting for one. Items put before the close are still handed out.

        Raises:
            Closed: the queue is closed and empty.
            BaseException: the error it was closed with, once it is empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._items))
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            if self._error is not None:
                raise self._error
            raise Closed

    def close(self, error: BaseException | None = None, *, discard: bool = False) -> None:
        """Let nothing more in. ``error`` is raised in the reader after the last item; ``discard`` drops what waits."""
        with self._changed:
            if not self._closed:
                self._closed, self._error = True, error
            if discard:
                self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        try:
            while True:
                yield self.get()
        except Closed:
            return

    def __len__(self) -> int:
        with self._changed:
            return len(self._items)


class LatestSlot(Generic[T]):
    """A channel with one place, in which the newest item wins: a slow reader skips, and nothing ever queues up.

    >>> slot = LatestSlot[str]()
    >>> slot.put("old"); slot.put("new")
    >>> slot.get(), slot.peek(), slot.dropped
    ('new', 'new', 1)
    >>> slot.get(timeout=0) is None
    True
    """

    def __init__(self) -> None:
        self._item: T | None = None
        self._unread = False
        self._dropped = 0
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: T) -> None:
        """Replace what is there.

        Raises:
            Closed: the slot was closed.
        """
        with self._changed:
            if self._closed:
                raise Closed
            self._dropped += self._unread
            self._item, self._unread = item, True
            self._changed.notify_all()

    def get(self, timeout: float | None = None) -> T | None:
        """Take the newest item, waiting for one newer than the last one taken; None after ``timeout`` seconds.

        Raises:
            Closed: the slot is closed, and nothing unread is left in it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._unread, timeout)
            if self._unread:
                self._unread = False
                return self._item
            if self._closed:
                raise Closed
            return None

    def peek(self) -> T | None:
        """The newest item, taken already or not; None before the first. Takes nothing."""
        with self._changed:
            return self._item

    def close(self, *, discard: bool = False) -> None:
        """Let nothing more in and wake who waits. ``discard`` also drops an item that nobody took."""
        with self._changed:
            self._closed = True
            if discard:
                self._dropped += self._unread
                self._unread = False
            self._changed.notify_all()

    @property
    def dropped(self) -> int:
        """Items that were replaced before anybody took them."""
        with self._changed:
            return self._dropped


class RateMeter:
    """Events a second over the last ``window_s``.

    >>> now = iter([0.0, 0.5, 1.0, 1.5]).__next__
    >>> meter = RateMeter(window_s=10, clock=now)
    >>> for _ in range(4): meter.tick()
    >>> meter.rate
    2.0
    """

    def __init__(self, window_s: float = 2.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_s = window_s
        self._clock = clock
        self._times: deque[float] = deque()

    def tick(self) -> None:
        now = self._clock()
        self._times.append(now)
        while self._times and now - self._times[0] > self._window_s:
            self._times.popleft()

    @property
    def rate(self) -> float:
        """Events a second, 0 before the second event."""
        if len(self._times) < 2:
            return 0.0
        span = self._times[-1] - self._times[0]
        return (len(self._times) - 1) / span if span > 0 else 0.0
