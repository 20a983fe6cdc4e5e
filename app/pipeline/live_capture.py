"""The capture thread of the live engine: opens the source, paces files, gets lost streams back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto
from typing import Protocol, runtime_checkable

from app.core.errors import UnmaskError
from app.core.records import Frame
from app.pipeline.live_state import EventKind
from app.vision.sources import FrameSource

RETRY_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each try to get a lost source back; the last one for all that follow."""

SKIPPED_AT_ONCE = 25
"""Frames passed over in a seek before it is looked whether the seek still holds."""

MOST_BEHIND_S = 0.5
"""A file that decodes slower than it plays is not hurried through afterwards by more than this."""


@runtime_checkable
class Seekable(Protocol):
    """A source that can go to a time by itself."""

    def seek(self, time_s: float) -> None:
        """Let the next frame read be the one shown at ``time_s``."""
        ...


@runtime_checkable
class Interruptible(Protocol):
    """A source that may have to wait for a device or a network, and that another thread can call back from there."""

    def connect(self) -> None:
        """Wait until pictures come; the first thing asked of it.

        Raises:
            UnmaskError: none will come.
        """
        ...

    def interrupt(self) -> None:
        """Let :meth:`connect` and ``read``, now and from now on, end soon. From any thread."""
        ...


class CaptureListener(Protocol):
    """What the capture thread tells, on its own thread."""

    def opened(self, source: FrameSource) -> None: ...
    def show(self, frame: Frame, generation: int) -> None:
        """A frame to be shown now; another ``generation`` means that the stream goes on elsewhere."""
        ...

    def tell(self, kind: EventKind, text: str) -> None: ...
    def ended(self) -> None: ...


class _Order(Enum):
    STOP = auto()
    SEEK = auto()
    GO = auto()


class Capture:
    """Reads frames and hands each to the listener when it is to be shown. :meth:`run` is the thread's body.

    Args:
        live: show every frame as it comes; else pace by the frames' own times, hold after the first until
            :meth:`release`, and wait at the end.
    """

    def __init__(
        self,
        open_source: Callable[[], FrameSource],
        listener: CaptureListener,
        *,
        live: bool,
        clock: Callable[[], float],
    ) -> None:
        self._open_source = open_source
        self._listener = listener
        self._live = live
        self._clock = clock
        self._change = threading.Condition()
        self._stopping = self._paused = self._at_end = False
        self._held = not live
        self._steps = 0 if live else 1
        self._seek_to: float | None = None
        self._speed = 1.0
        self._anchor: tuple[float, float] | None = None
        self._generation = 0
        self._source: FrameSource | None = None
        self._index = 0
        """Of the frame to come; of a live stream it runs on over losses."""
        # Of a live stream: the time told, which runs on over losses too.
        self._offset_s: float | None = None
        self._started: float | None = None
        self._last_s = -1.0
        self._tries = 0

    # From any thread; they return at once.

    def release(self) -> None:
        """Play on from the first frame: whoever waits for frames is ready."""
        with self._change:
            self._held = False
            self._change.notify_all()

    def pause(self) -> None:
        with self._change:
            self._paused = True
            self._change.notify_all()

    def resume(self) -> None:
        """Go on; from the start, at the end."""
        with self._change:
            self._paused = False
            self._anchor = None
            if self._at_end:
                self._seek_to = 0.0
            self._change.notify_all()

    def step(self) -> None:
        with self._change:
            self._steps += not self._at_end
            self._change.notify_all()

    def seek(self, time_s: float) -> None:
        with self._change:
            self._seek_to = max(0.0, time_s)
            self._change.notify_all()

    def set_speed(self, speed: float) -> None:
        with self._change:
            self._speed = speed
            self._anchor = None
            self._change.notify_all()

    def stop(self) -> None:
        with self._change:
            self._stopping = True
            source = self._source
            self._change.notify_all()
        if isinstance(source, Interruptible):
            source.interrupt()

    # On the capture thread.

    def run(self) -> None:
        """Open, read and close the source, until told to stop.

        Raises:
            UnmaskError: it cannot be opened.
        """
        if self._stopping:
            return
        try:
            source = self._open()
            if source is not None:
                self._listener.opened(source)
                (self._watch if self._live else self._play)()
        finally:
            self._close()

    def _open(self) -> FrameSource | None:
        """Open the source; None when told to stop meanwhile."""
        source = self._open_source()
        with self._change:  # From here on whoever stops this interrupts the source, too.
            self._source = source
        try:
            if isinstance(source, Interruptible) and not self._stopping:
                source.connect()
        except UnmaskError:
            if not self._stopping:
                raise
        return None if self._stopping else source

    def _close(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def _reopen(self) -> FrameSource | None:
        self._close()
        return self._open()

    # Files.

    def _play(self) -> None:
        frame: Frame | None = None
        while (order := self._wait(frame)) is not _Order.STOP:
            if order is _Order.SEEK:
                frame = self._sought()
            elif frame is None:
                assert self._source is not None
                frame = self._source.read()
                if frame is None:
                    self._end()
            else:
                with self._change:
                    self._steps = max(0, self._steps - 1)
                self._index = frame.index + 1
                self._listener.show(frame, self._generation)
                frame = None

    def _wait(self, frame: Frame | None) -> _Order:
        """Wait until ``frame`` is due, or until there is something else to do."""
        with self._change:
            while True:
                if self._stopping:
                    return _Order.STOP
                if self._seek_to is not None:
                    return _Order.SEEK
                if self._steps:
                    self._anchor = None
                    return _Order.GO
                if self._paused or self._held or self._at_end:
                    self._anchor = None
                    self._change.wait()
                    continue
                left = self._left(frame)
                if left <= 0:
                    return _Order.GO
                self._change.wait(left)

    def _left(self, frame: Frame | None) -> float:
        """Seconds until ``frame`` is due."""
        if frame is None:
            return 0.0
        now = self._clock()
        if self._anchor is None:
            self._anchor = (now, frame.time_s)
        left = self._anchor[0] + (frame.time_s - self._anchor[1]) / self._speed - now
        if left < -MOST_BEHIND_S:
            self._anchor = (now, frame.time_s)
        return left

    def _end(self) -> None:
        source = self._source
        assert source is not None
        with self._change:
            # A seek that came meanwhile is not undone.
            if self._stopping or self._seek_to is not None:
                return
            if isinstance(source, Interruptible) and source.frame_count is not None and not self._is_complete():
                raise UnmaskError(f"{source.name}: the connection broke off; check the network and try again")
            self._at_end = self._paused = True
            self._steps = 0
        self._listener.ended()

    def _sought(self) -> Frame | None:
        """Go to the wanted time; the frame there is to be shown at once, paused or not."""
        with self._change:
            target, self._seek_to = self._seek_to or 0.0, None
            self._at_end = False
            self._steps = 1
            self._anchor = None
        self._generation += 1
        source = self._source
        assert source is not None
        if source.frame_count is not None:
            target = min(target, max(0.0, (source.frame_count - 1) / source.fps))
        if isinstance(source, Seekable):
            source.seek(target)
            return source.read()
        source = self._reopen()
        if source is None:
            return None
        self._index = left = round(target * source.fps)
        while left > 0 and not self._stopping and self._seek_to is None:
            done = source.skip(min(left, SKIPPED_AT_ONCE))
            if not done:
                break
            left -= done
        self._index -= left
        return source.read()

    # Cameras, screens and streams.

    def _watch(self) -> None:
        due = self._clock()
        while not self._stopping:
            assert self._source is not None
            frame = self._source.read()
            if frame is None:
                if self._stopping or not (self._wait_at_end() if self._is_complete() else self._bring_back()):
                    return
                continue
            frame = self._on_session_time(frame)
            if self._tries:
                self._tries = 0
                self._listener.tell(EventKind.SOURCE_BACK, f"{self._source.name} is back")
            with self._change:
                wanted = not self._paused or self._steps > 0
                self._steps = max(0, self._steps - 1)
            if wanted:
                self._listener.show(frame, self._generation)
            if getattr(self._source, "instant", False):
                # A source that never waits, such as a screen, is read at its own rate.
                due = max(due + 1 / self._source.fps, self._clock() - 1 / self._source.fps)
                self._stopped_within(due - self._clock())

    def _on_session_time(self, frame: Frame) -> Frame:
        """The frame with an index and a time that run on however often the source was opened."""
        if self._started is None:
            self._started = self._clock()
        if self._offset_s is None:
            self._offset_s = self._clock() - self._started - frame.time_s
        self._last_s = max(round(frame.time_s + self._offset_s, 6), self._last_s + 1e-3)
        placed = replace(frame, index=self._index, time_s=self._last_s)
        self._index += 1
        return placed

    def _is_complete(self) -> bool:
        """Whether a stream that has an end has come to it."""
        expected = None if self._source is None else self._source.frame_count
        return expected is not None and self._index >= expected * 0.97 - 3

    def _wait_at_end(self) -> bool:
        """Wait for somebody to play the stream once more; False when told to stop."""
        self._end()
        with self._change:
            self._change.wait_for(lambda: self._stopping or self._seek_to is not None)
            if self._stopping:
                return False
            self._seek_to, self._at_end = None, False
        self._generation += 1
        self._index, self._offset_s = 0, None
        return self._reopen() is not None

    def _bring_back(self) -> bool:
        """Open a lost source again, with growing pauses; False when told to stop."""
        assert self._source is not None
        name = self._source.name
        self._close()
        while True:
            pause = RETRY_PAUSES_S[min(self._tries, len(RETRY_PAUSES_S) - 1)]
            self._tries += 1
            self._listener.tell(EventKind.SOURCE_LOST, f"{name} gives no pictures; trying again in {pause:g} s")
            if self._stopped_within(pause):
                return False
            self._offset_s = None
            try:
                return self._open() is not None
            except UnmaskError:
                self._close()

    def _stopped_within(self, seconds: float) -> bool:
        with self._change:
            return self._change.wait_for(lambda: self._stopping, max(0.0, seconds))
