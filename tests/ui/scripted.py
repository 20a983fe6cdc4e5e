"""An engine without threads or chance: it analyses drawn frames at once and then stands still, to be looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from app.core.cards import ModelCard
from app.core.consensus import Consensus
from app.core.errors import UnmaskError
from app.core.records import Box, Detection, Frame, FrameResult, ImageU8, TrackResult
from app.core.scoring import logit_of
from app.models.runtimes import Scores
from app.pipeline.live_state import LiveState, LiveStats, Session
from app.pipeline.records import TimelinePoint
from app.ui.choices import Settings, SourceChoice
from app.vision.analyzer import AnalyzerOptions, FrameAnalyzer, ScoredFace
from app.vision.detector import FakeDetector
from tests.ensembles import alone

WIDTH, HEIGHT, FPS = 640, 360, 25


@dataclass(frozen=True)
class Person:
    """A drawn face: where it is, how large, and how probable to be generated at a time in seconds."""

    x: int
    y: int
    size: int
    p_fake: Callable[[float], float]


class BlueReader:
    """Takes the blue of the skin for the probability; what it saw lies in the middle of the face."""

    device = "CPU (test)"

    def score(self, crops: ImageU8) -> Scores:
        middle = crops.shape[1] // 2
        logits = np.asarray([logit_of(crop[middle, middle, 2] / 255) for crop in crops], np.float32)
        spot = np.zeros((6, 6), np.float32)
        spot[2:4, 2:4], spot[1, 2:4] = 1.0, 0.4
        return Scores(logits, np.sign(logits)[:, None, None] * spot)

    def close(self) -> None:
        pass


class ScriptedEngine:
    """What the window asks of a live engine, answered from ``seconds`` of drawn video.

    Attributes:
        sought, speeds: what was asked for, in order.

    Args:
        state: where it stands when it was started.
        error: what it failed by, for FAILED.
    """

    recording = False

    def __init__(
        self,
        people: Sequence[Person],
        card: ModelCard,
        options: AnalyzerOptions,
        on_state: Callable[[LiveState], None],
        *,
        seconds: float = 3.0,
        duration_s: float | None = None,
        state: LiveState = LiveState.RUNNING,
        error: str = "",
    ) -> None:
        self.consensus, self.state = Consensus.of(card), LiveState.IDLE
        self.error = UnmaskError(error) if error else None
        self._on_state, self._then, self._duration_s = on_state, state, duration_s
        self.sought: list[float] = []
        self.speeds: list[float] = []
        self._faces: dict[int, ScoredFace] = {}
        self._frame: Frame | None = None
        self._result: FrameResult | None = None
        self._session = Session()
        analyzer = FrameAnalyzer(
            FakeDetector(lambda call: [_detection(person) for person in people]),
            alone(BlueReader(), card),
            options,
            on_scored=lambda face: self._faces.update({face.track: face}),
        )
        if state is not LiveState.FAILED:
            for index in range(round(seconds * FPS)):
                self._frame = Frame(index, index / FPS, drawn(people, index / FPS))
                self._result = analyzer.analyze(self._frame)
                self._session.add(self._result)
        self._tracks = analyzer.tracks()

    def start(self) -> None:
        self.state = self._then
        self._on_state(self.state)

    def stop(self) -> None:
        self.state = LiveState.STOPPED

    def join(self, deadline_s: float = 2.0) -> bool:
        return True

    def latest_frame(self) -> Frame | None:
        return self._frame

    def latest_result(self) -> FrameResult | None:
        return self._result

    def latest_face(self, track: int) -> ScoredFace | None:
        return self._faces.get(track)

    def tracks(self) -> list[TrackResult]:
        return self._tracks

    def timelines(self) -> dict[int, tuple[TimelinePoint, ...]]:
        return self._session.timelines()

    def stats(self) -> LiveStats:
        position_s = 0.0 if self._frame is None else self._frame.time_s
        return LiveStats(25.0, 24.0, 24.0, 0.04, 0.02, 3, BlueReader.device, position_s, self._duration_s, 75)

    def set_options(self, options: AnalyzerOptions) -> None:
        pass

    def seek(self, time_s: float) -> None:
        self.sought.append(time_s)

    def set_speed(self, speed: float) -> None:
        self.speeds.append(speed)


def maker(people: Sequence[Person], card: ModelCard, **how: Any) -> Any:
    """What a window takes for ``make``: every source becomes these people."""

    def make(choice: SourceChoice, settings: Settings, on_state: Any, on_event: Any) -> ScriptedEngine:
        return ScriptedEngine(people, card, settings.analyzer_for(choice), on_state, **how)

    return make


def drawn(people: Sequence[Person], time_s: float) -> ImageU8:
    """A frame, uint8 BGR: nobody's face, only ovals with eyes."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:] = np.linspace(150, 60, HEIGHT, dtype=np.uint8)[:, None, None]
    for person in people:
        x, y, size = person.x + person.size // 2, person.y + person.size // 2, person.size
        skin = (round(255 * person.p_fake(time_s)), 150, 205)
        cv2.ellipse(image, (x, y + 2 * size), (size, round(1.3 * size)), 0, 180, 360, (90, 70, 60), cv2.FILLED)
        cv2.ellipse(image, (x, y), (round(0.48 * size), round(0.62 * size)), 0, 0, 360, skin, cv2.FILLED)
        for side in (-1, 1):
            cv2.circle(image, (x + side * size // 5, y - size // 8), max(1, size // 16), (40, 30, 30), cv2.FILLED)
        cv2.ellipse(image, (x, y + size // 4), (size // 6, size // 12), 0, 0, 180, (60, 50, 150), max(1, size // 30))
    return image


def _detection(person: Person) -> Detection:
    return Detection(Box(person.x, person.y, person.x + person.size, person.y + person.size), 0.9)
