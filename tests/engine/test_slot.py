"""The one-place slot against a plain variable, and with threads."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.channels import Closed, LatestSlot
from tests.engine.support import PATIENCE_S


@given(st.lists(st.sampled_from(["put", "get", "peek", "close", "discard"]), max_size=40))
def test_it_does_what_a_variable_would(steps: list[str]) -> None:
    slot: LatestSlot[int] = LatestSlot()
    newest: int | None = None
    unread = closed = False
    dropped = 0
    for n, step in enumerate(steps):
        if step == "put" and closed:
            with pytest.raises(Closed):
                slot.put(n)
        elif step == "put":
            dropped += unread
            slot.put(n)
            newest, unread = n, True
        elif step == "get" and not unread and closed:
            with pytest.raises(Closed):
                slot.get()
        elif step == "get":
            assert slot.get(timeout=0) == (newest if unread else None)
            unread = False
        elif step == "peek":
            assert slot.peek() == newest
        elif step == "close":
            slot.close()
            closed = True
        elif step == "discard":
            slot.close(discard=True)
            closed = True
            dropped += unread
            unread = False
        assert slot.dropped == dropped


@pytest.mark.parametrize("close", [True, False])
def test_who_waits_is_woken(close: bool) -> None:
    slot: LatestSlot[int] = LatestSlot()
    outcome: list[object] = []

    def wait() -> None:
        try:
            outcome.append(slot.get())
        except Closed as error:
            outcome.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    assert thread.is_alive(), "it did not wait"
    if close:
        slot.close()
    else:
        slot.put(7)
    thread.join(PATIENCE_S)
    assert isinstance(outcome[0], Closed) if close else outcome == [7]


def test_between_threads_items_only_get_newer_and_the_last_one_arrives() -> None:
    slot: LatestSlot[int] = LatestSlot()
    seen: list[int] = []

    def read() -> None:
        try:
            while (item := slot.get()) is not None:
                seen.append(item)
        except Closed:
            pass

    thread = threading.Thread(target=read)
    thread.start()
    for n in range(1, 3001):
        slot.put(n)
    slot.close()
    thread.join(PATIENCE_S)
    assert seen == sorted(set(seen))
    assert seen[-1] == 3000
    assert len(seen) + slot.dropped == 3000
