"""What the live engine tells of itself: states, events, figures, and lines for the timeline."""

from __future__ import annotations

import logging
import statistics
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from app.core.records import FrameResult, TrackResult
from app.pipeline.records import TimelinePoint


class LiveState(StrEnum):
    """Where an engine is in its one life; see :data:`MOVES`."""

    IDLE = "idle"
    LOADING = "loading"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


MOVES: Mapping[LiveState, frozenset[LiveState]] = MappingProxyType(
    {
        LiveState.IDLE: frozenset({LiveState.LOADING, LiveState.STOPPED}),
        LiveState.LOADING: frozenset({LiveState.RUNNING, LiveState.PAUSED, LiveState.STOPPING, LiveState.FAILED}),
        LiveState.RUNNING: frozenset({LiveState.PAUSED, LiveState.STOPPING, LiveState.FAILED}),
        LiveState.PAUSED: frozenset({LiveState.RUNNING, LiveState.STOPPING, LiveState.FAILED}),
        LiveState.STOPPING: frozenset({LiveState.STOPPED}),
        LiveState.STOPPED: frozenset(),
        LiveState.FAILED: frozenset(),
    }
)
"""The allowed moves. STOPPED and FAILED are ends: another source, or another try, is another engine."""

OVER = frozenset({LiveState.STOPPING, LiveState.STOPPED, LiveState.FAILED})
"""States that no control leads out of."""


class Left(Exception):
    """Raised by who loads the models, when nobody waits for them any more."""


class IllegalMove(RuntimeError):
    """A move that :data:`MOVES` does not have: a fault of the caller."""


def check_move(before: LiveState, after: LiveState) -> None:
    """Make sure the table has this move.

    Raises:
        IllegalMove: it has not.
    """
    if after not in MOVES[before]:
        raise IllegalMove(f"the live engine cannot go from {before.value} to {after.value}")


class EventKind(StrEnum):
    """What a :class:`LiveEvent` tells.

    FACE_FLAGGED: a track's displayed verdict turned to AI-GENERATED. SOURCE_LOST: the stream or camera is gone, told
    before every try to get it back. SOURCE_BACK: frames come again. RECORDING_SAVED, RECORDING_FAILED: the recording
    is complete under its name, or ended early; monitoring goes on. ENDED: the last frame was shown; the engine pauses.
    """

    FACE_FLAGGED = "face flagged"
    SOURCE_LOST = "source lost"
    SOURCE_BACK = "source back"
    RECORDING_SAVED = "recording saved"
    RECORDING_FAILED = "recording failed"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """Something rare that people may want to know.

    Attributes:
        time_s: position in the stream.
        text: one sentence.
        track: the face it is about, None for none.
    """

    kind: EventKind
    time_s: float
    text: str
    track: int | None = None


@dataclass(frozen=True, slots=True)
class LiveStats:
    """How the engine is doing; rates are over the last two seconds.

    Attributes:
        shown_fps: frames captured (and so shown) a second.
        scored_fps: frames analysed a second.
        score_rate: faces scored a second.
        age_s: how old the frame of the newest result is; while not running, how far it lies behind the shown frame.
        inference_age_s: age of a frame when its analysis began, the median.
        dropped: frames that were shown but never analysed, because a newer one came.
        device: what the classifier runs on; "" before it is loaded.
        position_s: time of the newest frame in the stream.
        duration_s: of the whole stream, None when unknown.
        frames: frames analysed so far.
        models: the models that judge together, each with what it lately takes for a face, seconds; empty for one alone.
        alone_rate: faces that the first of them alone would score a second, by these times; see :func:`rate_alone`.
    """

    shown_fps: float
    scored_fps: float
    score_rate: float
    age_s: float
    inference_age_s: float
    dropped: int
    device: str
    position_s: float
    duration_s: float | None
    frames: int
    models: tuple[tuple[str, float], ...] = ()
    alone_rate: float = 0.0


def rate_alone(score_rate: float, scored_fps: float, shown_fps: float, busy: float, model_s: Sequence[float]) -> float:
    """Faces that the first of several models alone would score a second.

    Args:
        score_rate: faces scored a second by all of them.
        scored_fps, shown_fps: frames analysed and shown a second: no more faces can be scored than frames bring.
        busy: share of the time spent on analysing, [0, 1].
        model_s: what each model takes for a face, seconds, the first one's first.
    """
    if score_rate <= 0 or scored_fps <= 0:
        return 0.0
    # All there is to do for one score, finding faces included, less what the other models do of it.
    alone_s = max(busy / score_rate - sum(model_s[1:]), model_s[0])
    offered = max(shown_fps, scored_fps) * score_rate / scored_fps
    return max(score_rate, min(offered, 1 / alone_s) if alone_s > 0 else offered)


class Teller:
    """Calls listeners in order, one at a time, without any lock of the caller's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._untold: deque[Callable[[], None]] = deque()
        self._telling = False

    def later(self, call: Callable[[], None]) -> None:
        """Keep a call for the next :meth:`tell`."""
        self._untold.append(call)

    def tell(self) -> None:
        """Make the calls that were kept, unless another thread (or one further up in this one) does so already."""
        while True:
            with self._lock:
                if self._telling or not self._untold:
                    return
                self._telling = True
                call = self._untold.popleft()
            try:
                call()
            except Exception:
                logging.getLogger(__name__).exception("a listener of the live engine failed")
            finally:
                with self._lock:
                    self._telling = False


class Recent:
    """Numbers of the last ``window_s``: how many a second, and their median. For one writer and any readers."""

    def __init__(self, window_s: float = 2.0) -> None:
        self._window_s = window_s
        self._items: deque[tuple[float, float]] = deque()
        self._lock = threading.Lock()

    def add(self, now: float, value: float = 1.0) -> None:
        with self._lock:
            self._items.append((now, value))
            self._prune(now)

    def rate(self, now: float) -> float:
        """Sum of the numbers a second; 0 before the second one and when none came lately."""
        with self._lock:
            self._prune(now)
            if len(self._items) < 2:
                return 0.0
            span = self._items[-1][0] - self._items[0][0]
            return sum(value for _, value in list(self._items)[1:]) / span if span > 0 else 0.0

    def median(self, now: float) -> float:
        """The median, 0 without numbers."""
        with self._lock:
            self._prune(now)
            return statistics.median(value for _, value in self._items) if self._items else 0.0

    def _prune(self, now: float) -> None:
        while self._items and now - self._items[0][0] > self._window_s:
            self._items.popleft()


class Session:
    """What was seen since the start, kept small: a line per track, thinned, and a copy of the verdicts.

    One thread writes, any may read.
    """

    MAX_LINES = 300
    """Tracks with a line; the oldest go first."""
    MAX_POINTS = 600
    """Points of a line; it is thinned by half each time it is full, so that memory stays flat."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[int, list[TimelinePoint]] = {}
        self._steps: dict[int, int] = {}
        self._seen: dict[int, int] = {}
        self._tracks: tuple[TrackResult, ...] = ()
        self._frames = 0
        self._faces = 0
        self._last_s = 0.0

    def add(self, result: FrameResult) -> None:
        with self._lock:
            self._frames += 1
            self._faces += len(result.faces)
            self._last_s = max(self._last_s, result.time_s)
            for face in result.faces:
                if face.opinion.p_fake is not None:
                    self._add_point(face.track, TimelinePoint(result.time_s, round(face.opinion.p_fake, 4)))

    def _add_point(self, track: int, point: TimelinePoint) -> None:
        if track not in self._lines:
            self._lines[track], self._steps[track], self._seen[track] = [], 1, 0
            for oldest in sorted(self._lines)[: -self.MAX_LINES]:
                del self._lines[oldest], self._steps[oldest], self._seen[oldest]
        line = self._lines[track]
        if self._seen[track] % self._steps[track] == 0:
            line.append(point)
            if len(line) > self.MAX_POINTS:
                del line[1::2]
                self._steps[track] *= 2
        self._seen[track] += 1

    def set_tracks(self, tracks: list[TrackResult]) -> None:
        with self._lock:
            self._tracks = tuple(tracks)

    @property
    def tracks(self) -> tuple[TrackResult, ...]:
        with self._lock:
            return self._tracks

    @property
    def totals(self) -> tuple[int, int, float]:
        """Frames analysed, faces found in them, and the latest time."""
        with self._lock:
            return self._frames, self._faces, self._last_s

    def timelines(self) -> dict[int, tuple[TimelinePoint, ...]]:
        """The smoothed probability of every track over time."""
        with self._lock:
            return {track: tuple(points) for track, points in self._lines.items()}
