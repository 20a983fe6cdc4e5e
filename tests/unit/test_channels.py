"""The bounded queue against a plain list, and with threads."""

from __future__ import annotations

import doctest
import threading
import time
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import channels
from app.core.channels import BoundedQueue, Closed, RateMeter

PATIENCE_S = 20.0
"""How long a thread may take before it counts as stuck; no test takes that long unless it fails."""


def test_the_examples_in_the_text_are_right() -> None:
    result = doctest.testmod(channels)
    assert result.attempted >= 3
    assert result.failed == 0


@given(st.integers(1, 4), st.lists(st.sampled_from(["put", "get", "close", "discard"]), max_size=40))
def test_it_does_what_a_list_would(capacity: int, steps: list[str]) -> None:
    queue: BoundedQueue[int] = BoundedQueue(capacity)
    model: deque[int] = deque()
    closed = False
    for n, step in enumerate(steps):
        if step == "put" and closed:
            with pytest.raises(Closed):
                queue.put(n)
        elif step == "put" and len(model) < capacity:
            queue.put(n)
            model.append(n)
        elif step == "get" and model:
            assert queue.get() == model.popleft()
        elif step == "get" and closed:
            with pytest.raises(Closed):
                queue.get()
        elif step == "close":
            queue.close()
            closed = True
        elif step == "discard":
            queue.close(discard=True)
            closed = True
            model.clear()
        assert len(queue) == len(model) <= capacity
    queue.close()
    assert list(queue) == list(model)


def test_a_queue_holds_at_least_one() -> None:
    with pytest.raises(ValueError, match="capacity"):
        BoundedQueue[int](0)


def _in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Start ``work``, give it time to begin waiting; its result, or what it raised, goes to the list."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    time.sleep(0.05)
    return thread, outcome


@pytest.mark.parametrize("full", [True, False], ids=["put", "get"])
def test_close_wakes_who_waits(full: bool) -> None:
    queue: BoundedQueue[int] = BoundedQueue(1)
    if full:
        queue.put(1)
    thread, outcome = _in_thread((lambda: queue.put(2)) if full else queue.get)
    assert thread.is_alive(), "it did not wait"
    queue.close()
    thread.join(PATIENCE_S)
    assert isinstance(outcome[0], Closed)


def test_a_put_waits_for_room_and_a_get_for_an_item() -> None:
    queue: BoundedQueue[int] = BoundedQueue(1)
    thread, outcome = _in_thread(queue.get)
    queue.put(7)
    thread.join(PATIENCE_S)
    assert outcome == [7]
    queue.put(8)
    thread, outcome = _in_thread(lambda: queue.put(9))
    assert queue.get() == 8
    thread.join(PATIENCE_S)
    assert outcome == [None]
    assert queue.get() == 9


def test_nothing_is_lost_or_reordered_between_threads() -> None:
    queue: BoundedQueue[int] = BoundedQueue(3)

    def produce() -> None:
        for n in range(2000):
            queue.put(n)
        queue.close()

    thread, _ = _in_thread(produce)
    seen: list[int] = []
    for n in queue:
        assert len(queue) <= 3
        seen.append(n)
    assert seen == list(range(2000))
    thread.join(PATIENCE_S)


def test_an_error_comes_after_the_last_item() -> None:
    queue: BoundedQueue[int] = BoundedQueue(2)
    queue.put(1)
    queue.close(RuntimeError("broken"))
    queue.close(RuntimeError("too late"))
    assert queue.get() == 1
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            queue.get()


def test_an_error_reaches_who_iterates() -> None:
    queue: BoundedQueue[int] = BoundedQueue(2)
    queue.put(1)
    queue.close(RuntimeError("broken"))
    seen: list[int] = []
    with pytest.raises(RuntimeError, match="broken"):
        for item in queue:
            seen.append(item)
    assert seen == [1]


def test_discard_drops_what_waits() -> None:
    queue: BoundedQueue[int] = BoundedQueue(2)
    queue.put(1)
    queue.close(discard=True)
    assert len(queue) == 0
    with pytest.raises(Closed):
        queue.get()


def test_the_meter_forgets_what_is_old() -> None:
    times = iter([0.0, 1.0, 10.0, 10.1, 10.2])
    meter = RateMeter(window_s=1, clock=lambda: next(times))
    rates = []
    for _ in range(5):
        meter.tick()
        rates.append(meter.rate)
    assert rates == pytest.approx([0, 1, 0, 10, 10])


def test_the_meter_survives_events_at_one_instant() -> None:
    meter = RateMeter(clock=lambda: 5.0)
    meter.tick()
    meter.tick()
    assert meter.rate == 0
