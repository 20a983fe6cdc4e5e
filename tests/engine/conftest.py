"""What the engine's tests share: a card that judges everything, engines that end with the test, and no thread left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.core.cards import ModelCard
from tests.engine.support import PATIENCE_S, Watched


@pytest.fixture
def card(make_card: Callable[..., ModelCard]) -> ModelCard:
    gates = {"min_size_px": 1.0, "min_sharpness": 0.0, "min_brightness": 0.0, "max_brightness": 255.0, "max_yaw": 1.0}
    return make_card(thresholds=gates)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    end = time.monotonic() + PATIENCE_S
    while left := [t for t in threading.enumerate() if t not in before]:
        assert time.monotonic() < end, left
        time.sleep(0.01)


@pytest.fixture
def watch(no_thread_left: None) -> Iterator[Callable[..., Watched]]:
    """Makes an engine that is stopped with the test."""
    made: list[Watched] = []

    def make(*args: Any, **options: Any) -> Watched:
        made.append(Watched(*args, **options))
        return made[-1]

    yield make
    for watched in made:
        watched.end()
