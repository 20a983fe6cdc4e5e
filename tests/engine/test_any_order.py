"""Whatever is asked of an engine, in whatever order: it ends in time, leaves no thread and nothing half-written."""

from __future__ import annotations

import itertools
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.core.cards import ModelCard
from app.core.errors import UnmaskError
from app.pipeline import live_capture
from app.pipeline.batch import Models
from app.pipeline.live import EventKind, IllegalMove, LiveState
from tests.e2e.support import frame_count
from tests.engine.support import EVERY_FRAME, Camera, Film, Watched, models_of, until

DEADLINE_S = 2.0
WAITS_S = (0.0, 0.0, 0.002, 0.02, 0.08)
STEPS = st.tuples(
    st.sampled_from(
        "pause resume step seek seek_end speed options record stop_recording unplug plug start stop".split()
    ),
    st.sampled_from(WAITS_S),
)


class Sources:
    """Opens cameras or films that are there or not, and knows which were left open."""

    def __init__(self, live: bool) -> None:
        self.live = live
        self.there = threading.Event()
        self.there.set()
        self.made: list[Camera | Film] = []

    def open(self) -> Camera | Film:
        if not self.there.is_set():
            raise UnmaskError("no camera; plug it in")
        self.made.append(Camera() if self.live else Film(60))
        return self.made[-1]

    def unplug(self) -> None:
        if self.live:
            self.there.clear()
            for camera in self.made:
                camera.unplugged.set()  # type: ignore[union-attr]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(live=st.booleans(), load_s=st.sampled_from((0.0, 0.05)), steps=st.lists(STEPS, max_size=14))
@example(live=True, load_s=0.0, steps=[("start", 0.08), ("record", 0.08), ("unplug", 0.08), ("stop", 0.0)])
@example(live=False, load_s=0.05, steps=[("start", 0.0), ("record", 0.0), ("seek_end", 0.08), ("resume", 0.08)])
def test_any_order_ends_well(
    live: bool, load_s: float, steps: list[tuple[str, float]], card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_capture, "RETRY_PAUSES_S", (0.01, 5.0))
    sources = Sources(live)
    watched = Watched(sources.open, lambda: _slowly(load_s, models_of(card)), live=live)
    engine = watched.engine
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        numbers = itertools.count()
        do: dict[str, Callable[[], object]] = {
            "start": engine.start,
            "pause": engine.pause,
            "resume": engine.resume,
            "step": engine.step,
            "seek": lambda: engine.seek(0.4),
            "seek_end": lambda: engine.seek(99),
            "speed": lambda: engine.set_speed(4),
            "options": lambda: engine.set_options(replace(EVERY_FRAME, threshold=0.99)),
            "record": lambda: engine.start_recording(folder / str(next(numbers))),
            "stop_recording": engine.stop_recording,
            "unplug": sources.unplug,
            "plug": sources.there.set,
            "stop": engine.stop,
        }
        for step, wait_s in steps:
            try:
                do[step]()
            except IllegalMove:
                pass  # Such as pausing before the start, and the engine says so.
            time.sleep(wait_s)
        engine.stop()
        assert engine.join(DEADLINE_S)
        until(lambda: engine.state in (LiveState.STOPPED, LiveState.FAILED))
        assert engine.error is None or "no camera" in str(engine.error)
        assert all(source.closed == 1 for source in sources.made)
        assert not watched.has(EventKind.RECORDING_FAILED)
        written = [path for path in folder.glob("*/*") if path.name != "faces.jsonl"]
        assert all(path.name == "annotated.mp4" and frame_count(path) > 0 for path in written), written
        assert len(written) == len(watched.has(EventKind.RECORDING_SAVED))


def _slowly(seconds: float, models: Models) -> Models:
    time.sleep(seconds)
    return models


@pytest.mark.parametrize("load_s", [0.0, 0.01, 0.2])
def test_a_hail_of_sources(card: ModelCard, load_s: float) -> None:
    """One after the other, as fast as somebody can click, each left before it got anywhere."""
    loaded, closed = [], []

    class Noticing(Models):
        def __exit__(self, *_: object) -> None:
            closed.append(self)

    def load() -> Models:
        made = models_of(card)
        loaded.append(Noticing(made.detector, made.ensemble))
        return _slowly(load_s, loaded[-1])

    sources = Sources(live=True)
    hail = [Watched(sources.open, load, live=True) for _ in range(12)]
    for watched in hail:
        watched.engine.start()
        watched.engine.stop()
    assert all(watched.engine.join(DEADLINE_S) for watched in hail)
    assert all(watched.engine.state is LiveState.STOPPED for watched in hail)
    assert len(closed) == len(loaded)
    assert all(source.closed == 1 for source in sources.made)
