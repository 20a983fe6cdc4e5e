"""LiveEngine: capture, analysis and recording on threads of their own; the newest frame wins."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from app.core.consensus import Consensus
from app.core.errors import UnmaskError
from app.core.records import Frame, FrameResult, TrackResult
from app.pipeline.batch import Models
from app.pipeline.highlights import Highlights
from app.pipeline.live_analysis import Analysis, Shown
from app.pipeline.live_capture import Capture
from app.pipeline.live_state import (
    MOVES,
    OVER,
    EventKind,
    IllegalMove,
    Left,
    LiveEvent,
    LiveState,
    LiveStats,
    Teller,
    check_move,
)
from app.pipeline.recording import Recording
from app.pipeline.records import TimelinePoint, VideoReport
from app.vision.analyzer import AnalyzerOptions, ScoredFace
from app.vision.sources import FrameSource

__all__ = ["MOVES", "EventKind", "IllegalMove", "LiveEngine", "LiveEvent", "LiveState", "LiveStats"]


class LiveEngine:
    """Watches one source for one session: IDLE, LOADING, RUNNING and PAUSED, then STOPPED or FAILED for good.

    All methods but :meth:`join` return at once and may be called from any thread. Pause, resume, step, seek and the
    like do nothing once the engine is stopping or has failed, for that may happen at any moment; before
    :meth:`start` they raise :class:`IllegalMove`. While LOADING a live picture is shown already, and of a file its
    first frame.

    Args:
        open_source: called on the capture thread, where the source is used and closed too; for a lost stream and for
            a seek it is called again.
        load_models: called on the inference thread, where the models are used and closed too. Raises :class:`Left`
            where it finds, between two steps, that the engine was stopped.
        options: of the analysis; see :meth:`set_options`.
        live: a camera, screen or stream, of which the newest frame is shown and which is brought back when it is
            lost; else a file, paced by its own timestamps. Either way the analysis takes the newest shown frame.
        redact: no face that is not flagged AI-GENERATED can be recognised in recordings and reports.
        on_state: told of each new state in order, from any thread, never while a lock is held; must return soon.
        on_event: told of each event, in the same way.
    """

    def __init__(
        self,
        open_source: Callable[[], FrameSource],
        load_models: Callable[[], Models],
        options: AnalyzerOptions,
        *,
        live: bool,
        redact: bool = False,
        clock: Callable[[], float] = time.monotonic,
        on_state: Callable[[LiveState], None] = lambda state: None,
        on_event: Callable[[LiveEvent], None] = lambda event: None,
    ) -> None:
        self._load_models = load_models
        self._live = live
        self._on_state, self._on_event = on_state, on_event
        self._lock = threading.RLock()
        self._state = LiveState.IDLE
        self._error: UnmaskError | None = None
        self._capture = Capture(open_source, self, live=live, clock=clock)
        self._threads: list[threading.Thread] = []
        self._working: set[object] = set()
        self._pause_wanted = False
        self._teller = Teller()
        self._analysis = Analysis(
            options, clock=clock, redact=redact, on_result=self._analyzed, on_flagged=self._flagged
        )
        # Of the open source.
        self._opened = self._seen_to_end = False
        self._name = ""
        self._fps = 25.0
        self._duration_s: float | None = None
        self._recording: Recording | None = None

    # Control.

    def start(self) -> None:
        """Open the source and load the models.

        Raises:
            IllegalMove: it was started before.
        """
        with self._lock:
            self._move(LiveState.LOADING)
            works = {"capture": self._capture.run, "inference": self._infer}
            self._working.update(works)
            started = [
                threading.Thread(target=self._work, args=(name, work), name=f"unmask-{name}", daemon=True)
                for name, work in works.items()
            ]
            self._threads.extend(started)
        self._teller.tell()
        for thread in started:
            thread.start()

    def pause(self) -> None:
        """Freeze the picture; of a live source, what comes meanwhile is passed over."""
        with self._lock:
            if self._listens():
                self._pause_wanted = True
                self._capture.pause()
                if self._state is LiveState.RUNNING:
                    self._move(LiveState.PAUSED)
        self._teller.tell()

    def resume(self) -> None:
        """Go on; at the end of a file, from its start."""
        with self._lock:
            if self._listens():
                self._pause_wanted = False
                self._capture.resume()
                if self._state is LiveState.PAUSED:
                    self._move(LiveState.RUNNING)
        self._teller.tell()

    def step(self) -> None:
        """Show one more frame while paused."""
        with self._lock:
            if self._listens() and self._state is LiveState.PAUSED:
                self._capture.step()

    def seek(self, time_s: float) -> None:
        """Go to a time of a file, clipped to what it has, paused or not. Faces there get new ids; live: nothing."""
        with self._lock:
            if self._listens() and not self._live:
                self._capture.seek(time_s)

    def set_speed(self, speed: float) -> None:
        """Play a file at ``speed`` times its own rate.

        Raises:
            ValueError: not positive.
        """
        if not speed > 0:
            raise ValueError(f"speed must be positive, got {speed}")
        self._capture.set_speed(speed)

    def set_options(self, options: AnalyzerOptions) -> None:
        """Judge by other options: threshold, smoothing, least size, how often faces are scored; paused, too."""
        self._analysis.options = options

    def stop(self) -> None:
        """Ask for the end; legal in every state, any number of times. See :meth:`join`."""
        with self._lock:
            if self._state is LiveState.IDLE:
                self._move(LiveState.STOPPED)
            elif self._state not in OVER:
                self._move(LiveState.STOPPING)
            self._shut()
        self._teller.tell()

    def join(self, deadline_s: float = 2.0) -> bool:
        """Wait until no thread is left; whether that is so.

        False after :meth:`stop` means that native code (opening a stream, loading a model) does not return yet. Its
        thread closes what it opened and ends by itself; the state turns STOPPED then.
        """
        end = time.monotonic() + deadline_s
        with self._lock:
            threads = [t for t in self._threads if t is not threading.current_thread() and t.ident is not None]
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def start_recording(self, folder: Path) -> None:
        """Record the annotated picture from now on into ``folder``: ``annotated.mp4`` and ``faces.jsonl``.

        An unusable folder or a full disk ends the recording with RECORDING_FAILED; what was written stays valid.

        Raises:
            IllegalMove: a recording is under way, or nothing is being watched.
        """
        with self._lock:
            if self._state is LiveState.IDLE or self._state in OVER:
                raise IllegalMove(f"nothing to record: the live engine is {self._state.value}")
            if self._recording is not None:
                raise IllegalMove("a recording is under way; stop it first")
            recording = Recording(folder, lambda: self._fps, self._recording_ended, redact=self.highlights.redact)
            self._recording = recording
            self._working.add(recording)
            self._threads = [t for t in self._threads if t.is_alive() or t.ident is None]
            self._threads.append(recording.thread)
            recording.thread.start()

    def stop_recording(self) -> Path | None:
        """End the recording; where its video will be (RECORDING_SAVED tells when), None if there was no recording."""
        with self._lock:
            recording, self._recording = self._recording, None
        if recording is None:
            return None
        recording.finish()
        return recording.video

    # What there is to see.

    @property
    def state(self) -> LiveState:
        return self._state

    @property
    def error(self) -> UnmaskError | None:
        """Why it FAILED, as a sentence; what was raised is its ``__cause__`` if that was no UnmaskError."""
        return self._error

    @property
    def recording(self) -> bool:
        """Whether frames are being recorded."""
        return self._recording is not None

    @property
    def consensus(self) -> Consensus | None:
        """Who judges, as loaded; None before."""
        ensemble = self._analysis.ensemble
        return None if ensemble is None else ensemble.consensus

    @property
    def highlights(self) -> Highlights:
        """The most telling moments of the session."""
        return self._analysis.highlights

    def latest_frame(self) -> Frame | None:
        """The newest frame, to be shown; its pixels must not be changed."""
        return self._analysis.latest_frame()

    def latest_result(self) -> FrameResult | None:
        """What is known of the newest analysed frame; None before the first and right after a seek."""
        return self._analysis.latest_result()

    def latest_analysed(self) -> tuple[Frame, FrameResult] | None:
        """The newest analysed frame and what is known of it; a newer one may be shown already."""
        return self._analysis.latest_analysed()

    def tracks(self) -> list[TrackResult]:
        """The verdict on every face of the session, at most a fifth of a second old."""
        return list(self._analysis.session.tracks)

    def timelines(self) -> dict[int, tuple[TimelinePoint, ...]]:
        """The smoothed probability of every track over time, thinned for drawing."""
        return self._analysis.session.timelines()

    def latest_face(self, track: int) -> ScoredFace | None:
        """The picture and evidence map of a track's last score, for its thumbnail and heatmap."""
        return self._analysis.latest_face(track)

    def stats(self) -> LiveStats:
        """How it is doing right now."""
        return self._analysis.stats(running=self._state is LiveState.RUNNING, duration_s=self._duration_s)

    def report(self) -> VideoReport:
        """The session so far, for the HTML report.

        Raises:
            UnmaskError: the models are not loaded yet.
        """
        return self._analysis.report(
            self._name,
            error=None if self._error is None else str(self._error),
            partial=not (self._live or self._seen_to_end),
        )

    # What the capture thread tells.

    def opened(self, source: FrameSource) -> None:
        """For the capture thread."""
        with self._lock:
            self._opened = True
            self._name, self._fps = source.name, source.fps
            if not self._live and source.frame_count is not None:
                self._duration_s = source.frame_count / source.fps
            self._get_going()
        self._teller.tell()

    def show(self, frame: Frame, generation: int) -> None:
        """For the capture thread."""
        self._analysis.show(frame, generation)

    def tell(self, kind: EventKind, text: str, track: int | None = None) -> None:
        """For the engine's threads."""
        frame = self.latest_frame()
        event = LiveEvent(kind, frame.time_s if frame else 0.0, text, track)
        self._teller.later(lambda: self._on_event(event))
        self._teller.tell()

    def ended(self) -> None:
        """For the capture thread: the last frame was shown."""
        with self._lock:
            self._pause_wanted = self._seen_to_end = True
            if self._state is LiveState.RUNNING:
                self._move(LiveState.PAUSED)
        self.tell(EventKind.ENDED, f"{self._name} has ended")

    # On the inference thread.

    def _infer(self) -> None:
        if self._state in OVER:
            return
        with suppress(Left), self._load_models() as models:
            with self._lock:
                self._analysis.ensemble = models.ensemble
                self._get_going()
            self._teller.tell()
            self._analysis.run(models)

    def _analyzed(self, shown: Shown, result: FrameResult) -> None:
        recording = self._recording
        if recording is not None:
            recording.offer(shown.frame, result, shown.generation)

    def _flagged(self, track: int, reason: str) -> None:
        self.tell(EventKind.FACE_FLAGGED, f"face {track}: {reason}", track)

    # States and threads.

    def _listens(self) -> bool:
        if self._state is LiveState.IDLE:
            raise IllegalMove("the live engine was not started yet")
        return self._state not in OVER

    def _move(self, after: LiveState) -> None:
        """Change the state, with the lock held; the teller is to be called when it is free again."""
        check_move(self._state, after)
        self._state = after
        self._teller.later(lambda: self._on_state(after))

    def _get_going(self) -> None:
        """Leave LOADING once the source is open and the models are loaded."""
        if self._state is LiveState.LOADING and self._opened and self._analysis.ensemble is not None:
            self._move(LiveState.PAUSED if self._pause_wanted else LiveState.RUNNING)
            self._capture.release()

    def _work(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # Kept and shown: nobody else is there to catch it.
            self._fail(error)
        finally:
            self._has_ended(name)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._error is None:
                self._error = _as_sentence(error)
            if self._state not in OVER:
                self._move(LiveState.FAILED)
            self._shut()
        self._teller.tell()

    def _shut(self) -> None:
        self._capture.stop()
        self._analysis.close()
        self.stop_recording()

    def _has_ended(self, worker: object) -> None:
        with self._lock:
            self._working.discard(worker)
            if not self._working and self._state is LiveState.STOPPING:
                self._move(LiveState.STOPPED)
        self._teller.tell()

    def _recording_ended(self, recording: Recording, error: UnmaskError | None) -> None:
        with self._lock:
            if self._recording is recording:
                self._recording = None
        if error is not None:
            self.tell(EventKind.RECORDING_FAILED, str(error))
        elif recording.video.exists():
            self.tell(EventKind.RECORDING_SAVED, f"saved {recording.video}{recording.note}")
        self._has_ended(recording)


def _as_sentence(error: BaseException) -> UnmaskError:
    if isinstance(error, UnmaskError):
        return error
    told = UnmaskError(f"the live engine failed ({type(error).__name__}: {error}); start it again")
    told.__cause__ = error
    return told
