"""Made-up sources, models and a watcher for the live engine's tests and benchmark."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from app.core.cards import ModelCard
from app.core.records import Box, Detection, Frame, ImageU8
from app.models.runtimes import FakeClassifier
from app.pipeline.batch import Models
from app.pipeline.live import EventKind, LiveEngine, LiveEvent, LiveState
from app.vision.analyzer import AnalyzerOptions
from app.vision.detector import FakeDetector
from app.vision.sources import FrameSource, SyntheticSource
from tests.ensembles import alone

PATIENCE_S = 30.0
"""How long something may take before it counts as not happening; no test takes that long unless it fails."""

EVERY_FRAME = AnalyzerOptions(score_interval_s=0.0)


class Camera(SyntheticSource):
    """A synthetic source that the engine reads at its own rate, that may be unplugged, and that knows its thread."""

    instant = True

    def __init__(self, frames: int = 10**6, fps: float = 60.0, width: int = 160, height: int = 120) -> None:
        super().__init__(frames, width, height, fps)
        self.frame_count = None
        self.unplugged = threading.Event()
        self.used_by: set[str] = set()
        self.closed = 0

    def read(self) -> Frame | None:
        self.used_by.add(threading.current_thread().name)
        return None if self.unplugged.is_set() else super().read()

    def close(self) -> None:
        self.used_by.add(threading.current_thread().name)
        self.closed += 1


class Film(SyntheticSource):
    """A file of numbered frames: each one's grey level is its index."""

    def __init__(self, frames: int = 200, fps: float = 50.0) -> None:
        super().__init__(frames, 160, 120, fps)
        self.opened_at = 0
        self.closed = 0

    def read(self) -> Frame | None:
        frame = super().read()
        if frame is not None:
            frame.image[0, 0] = frame.index % 256
        return frame

    def close(self) -> None:
        self.closed += 1


def sharp_face(image: ImageU8) -> None:
    image[:] = np.random.default_rng(0).integers(60, 200, image.shape, np.uint8)


def models_of(
    card: ModelCard,
    logit: Callable[[ImageU8], float] = lambda crop: 4.0,
    *,
    sleep_s: float = 0.0,
    script: Callable[[int], Sequence[Detection]] | None = None,
) -> Models:
    """Models that find one face on every frame and score it by ``logit``, after ``sleep_s``."""
    face = Detection(Box(20, 20, 100, 100), 0.9)

    def score(crop: ImageU8) -> float:
        time.sleep(sleep_s)
        return logit(crop)

    classifier = FakeClassifier(score, card.preprocessing.size)
    return Models(FakeDetector(script or (lambda n: [face])), alone(classifier, card))


def until(what: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait for something to become true; fail when it does not."""
    end = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


class Watched:
    """An engine with everything it told."""

    def __init__(
        self,
        open_source: Callable[[], FrameSource],
        load_models: Callable[[], Models],
        *,
        live: bool,
        options: AnalyzerOptions = EVERY_FRAME,
    ) -> None:
        self.states: list[LiveState] = []
        self.events: list[LiveEvent] = []
        self.engine = LiveEngine(
            open_source, load_models, options, live=live, on_state=self.states.append, on_event=self.events.append
        )

    def has(self, kind: EventKind) -> list[LiveEvent]:
        return [event for event in list(self.events) if event.kind is kind]

    def end(self) -> None:
        """Stop, and make sure that nothing is left."""
        self.engine.stop()
        assert self.engine.join(PATIENCE_S)
        assert self.engine.state in (LiveState.STOPPED, LiveState.FAILED)
