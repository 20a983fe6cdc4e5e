"""Between the engine's threads and the window: a timer pulls what is newest, signals tell only what is rare."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QElapsedTimer, QObject, Qt, QTimer, Signal, SignalInstance, Slot

from app.core.records import Frame, FrameResult
from app.pipeline.live_state import EventKind, Left, LiveEvent, LiveState
from app.ui.background import finish
from app.ui.choices import Settings, SourceChoice

if TYPE_CHECKING:
    from app.pipeline.batch import Models
    from app.pipeline.live import LiveEngine

PULL_MS = 16
SLOW_MS = 400
"""How often everything but the picture is brought up to date."""
CLOSE_S = 2.0

EngineMaker = Callable[[SourceChoice, Settings, Callable[[LiveState], None], Callable[[LiveEvent], None]], "LiveEngine"]


def make_engine(
    choice: SourceChoice,
    settings: Settings,
    on_state: Callable[[LiveState], None],
    on_event: Callable[[LiveEvent], None],
) -> LiveEngine:
    """The real engine; it loads models and opens the source on threads of its own."""
    from app.pipeline.live import LiveEngine

    engine = LiveEngine(
        choice.open,
        lambda: load_models(settings, lambda: engine.state is LiveState.LOADING),
        settings.analyzer_for(choice),
        live=choice.is_live,
        redact=settings.redact,
        on_state=on_state,
        on_event=on_event,
    )
    return engine


def load_models(settings: Settings, wanted: Callable[[], bool] = lambda: True) -> Models:
    """Detector and classifiers as the settings want them.

    Args:
        wanted: asked between steps that take a second or so each.

    Raises:
        UnmaskError: weights are missing or were altered, or there is no GPU though one was asked for.
        Left: they are not wanted any more.
    """
    from app.models.artifact import load_ensemble, read_consensus
    from app.pipeline.batch import Models
    from app.vision.detector import MediaPipeDetector

    def check() -> None:
        if not wanted():
            raise Left

    return Models(MediaPipeDetector(), load_ensemble(read_consensus(settings.models), settings.device, check=check))


class Place(NamedTuple):
    """Where in a recorded source to begin, and whether to stand still there."""

    time_s: float = 0.0
    paused: bool = False


START = Place()


class Bridge(QObject):
    """Holds the one engine on show and closes those that went before it.

    Attributes:
        on_picture: told of every new frame or result, on the window's thread; a plain function and not a signal,
            since it is called many times a second.
    """

    state_changed = Signal(object)
    happened = Signal(object)
    refreshed = Signal()
    """Twice a second or so: cards, figures and timeline may be read anew."""

    _told_state = Signal(int, object)
    _told_event = Signal(int, object)

    def __init__(self, make: EngineMaker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._make = make
        self.engine: LiveEngine | None = None
        self.choice: SourceChoice | None = None
        self.on_picture: Callable[[Frame, FrameResult | None], None] = lambda frame, result: None
        self._leaving: list[LiveEngine] = []
        self._waiting: tuple[SourceChoice, Settings] | None = None
        self._begin = START
        self._number = 0
        self._frame: Frame | None = None
        self._result: FrameResult | None = None
        self._since_slow, self._since_left = QElapsedTimer(), QElapsedTimer()
        self._told_state.connect(self._take_state, Qt.ConnectionType.QueuedConnection)
        self._told_event.connect(self._take_event, Qt.ConnectionType.QueuedConnection)
        self._timer = QTimer(self, interval=PULL_MS, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._pull)

    @property
    def state(self) -> LiveState:
        if self._waiting is not None:
            return LiveState.LOADING
        return LiveState.IDLE if self.engine is None else self.engine.state

    @property
    def error(self) -> str:
        error = None if self.engine is None else self.engine.error
        return "" if error is None else str(error)

    @property
    def place(self) -> Place:
        """Where the source is; while it is made ready, where it is about to begin."""
        frame = None if self.engine is None else self.engine.latest_frame()
        if frame is None or self.state is LiveState.LOADING:
            return self._begin
        return Place(frame.time_s, self.state is LiveState.PAUSED)

    def open(self, choice: SourceChoice, settings: Settings, begin: Place = START) -> None:
        """Show another source, as soon as the one before has let go of its camera; a live one begins now."""
        self.close()
        self.choice, self._begin = choice, START if choice.is_live else begin
        self._waiting = (choice, settings)
        self.state_changed.emit(LiveState.LOADING)
        self._timer.start()
        self._since_slow.start()
        self._since_left.start()
        self._start_when_free()

    def close(self) -> None:
        """Stop what is on show, without waiting for it."""
        self._number += 1
        self._waiting = self.choice = self._frame = self._result = None
        if self.engine is not None:
            self.engine.stop()
            self._leaving.append(self.engine)
            self.engine = None
            self.state_changed.emit(LiveState.IDLE)

    def shut_down(self) -> bool:
        """Stop everything and wait for it, at most ``CLOSE_S``: the last call, with the window out of sight.

        Returns:
            Whether everything has ended.
        """
        self.close()
        self._timer.stop()
        end = time.monotonic() + CLOSE_S
        joined = [engine.join(max(0.0, end - time.monotonic())) for engine in self._leaving]
        self._leaving.clear()
        return finish(max(0.0, end - time.monotonic())) and all(joined)

    def set_settings(self, settings: Settings) -> None:
        """Let the running engine go by other thresholds."""
        if self._waiting is not None:
            self._waiting = (self._waiting[0], settings)
        elif self.engine is not None and self.choice is not None:
            self.engine.set_options(settings.analyzer_for(self.choice))

    @property
    def newest(self) -> tuple[Frame, FrameResult | None] | None:
        return None if self._frame is None else (self._frame, self._result)

    def _start_when_free(self) -> None:
        self._leaving = [engine for engine in self._leaving if not engine.join(0)]
        # A stream that hangs while it is opened must not hold up the next source for long.
        if self._waiting is None or (self._leaving and not self._since_left.hasExpired(round(CLOSE_S * 1000))):
            return
        (choice, settings), self._waiting = self._waiting, None
        number = self._number
        self.engine = self._make(
            choice,
            settings,
            lambda state: _emit(self._told_state, number, state),
            lambda event: _emit(self._told_event, number, event),
        )
        self.engine.start()
        if self._begin.time_s > 0:
            self.engine.seek(self._begin.time_s)
        if self._begin.paused:
            self.engine.pause()

    def _pull(self) -> None:
        if self._waiting is not None:
            self._start_when_free()
        elif self.engine is not None:
            frame, result = self.engine.latest_frame(), self.engine.latest_result()
            if frame is not None and (frame is not self._frame or result is not self._result):
                self._frame, self._result = frame, result
                self.on_picture(frame, result)
            if self._since_slow.hasExpired(SLOW_MS):
                self._since_slow.start()
                self.refreshed.emit()
        elif self._leaving:
            self._leaving = [engine for engine in self._leaving if not engine.join(0)]
        else:
            self._timer.stop()

    @Slot(int, object)
    def _take_state(self, number: int, state: LiveState) -> None:
        # An engine that is being left may still talk.
        if number == self._number:
            self.state_changed.emit(state)
            self.refreshed.emit()

    @Slot(int, object)
    def _take_event(self, number: int, event: LiveEvent) -> None:
        # A recording is completed after its source was left, and people want to know where it is.
        if number == self._number or event.kind in (EventKind.RECORDING_SAVED, EventKind.RECORDING_FAILED):
            self.happened.emit(event)


def _emit(signal: SignalInstance, *arguments: object) -> None:
    """Emit from an engine's thread, which may outlive the window by what native code takes to return."""
    try:
        signal.emit(*arguments)
    except RuntimeError:
        pass  # The window is gone: nobody is left to be told.
