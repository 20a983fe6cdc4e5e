"""A recording of the live picture: annotated video and ``faces.jsonl``, valid whenever and however it ends."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from app.core.channels import BoundedQueue, Closed
from app.core.errors import UnmaskError
from app.core.records import Frame, FrameResult
from app.pipeline.sinks import JsonlSink, VideoSink, join_parts

WAITING = 16
"""Analysed frames that may wait for the disk; further ones are left out, so that monitoring never waits for it."""

PART_S = 15.0
"""Seconds of picture at risk when the disk fills up: so often a part of the video is closed."""

LONGEST_GAP_S = 1.0
"""A pause, a seek or a lost stream counts as this much of the recording at most."""


class Recording:
    """Writes analysed frames on a thread of its own, from 0 s, in order, into ``folder``.

    Args:
        fps: of the source; asked when the first frame comes.
        redact: pixelate faces that are not flagged.
        ended: told on the sinks thread when nothing more is written, with the error if there was one.
    """

    def __init__(
        self,
        folder: Path,
        fps: Callable[[], float],
        ended: Callable[[Recording, UnmaskError | None], None],
        *,
        redact: bool = False,
    ) -> None:
        self._redact = redact
        self.note = " (faces that are not flagged are pixelated)" if redact else ""
        self.folder = folder
        self.video = folder / "annotated.mp4"
        self._fps = fps
        self._ended = ended
        self._work = folder / ".recording"
        self._queue: BoundedQueue[tuple[Frame, FrameResult, int]] = BoundedQueue(WAITING)
        self._missed = 0
        self._jsonl: JsonlSink | None = None
        self._video: VideoSink | None = None
        self._video_broken = False
        self._parts: list[str] = []
        self._count = 0
        self._time_s = self._safe_s = 0.0
        self._before: tuple[float, int] | None = None
        # No daemon: the program may not end before the video is complete, however long the disk takes.
        self.thread = threading.Thread(target=self._run, name="unmask-sinks")

    @property
    def missed(self) -> int:
        """Analysed frames left out because the disk was too slow."""
        return self._missed

    def offer(self, frame: Frame, result: FrameResult, generation: int) -> None:
        """Hand over an analysed frame; returns at once. After the end it does nothing."""
        try:
            self._missed += not self._queue.offer((frame, result, generation))
        except Closed:
            pass

    def finish(self) -> None:
        """Take no more; what waits is still written. Returns at once."""
        self._queue.close()

    def _run(self) -> None:
        error: UnmaskError | None = None
        try:
            try:
                self._work.mkdir(parents=True, exist_ok=True)
                for item in self._queue:
                    self._take(*item)
                self._checkpoint()
            finally:
                self._queue.close(discard=True)
        except UnmaskError as problem:
            error = problem
        except OSError as problem:
            error = UnmaskError(f"{self.folder}: the recording cannot be written ({problem.strerror or problem})")
        except BaseException as problem:  # Told like the others: monitoring goes on.
            error = UnmaskError(f"{self.folder}: the recording failed ({type(problem).__name__}: {problem})")
        try:
            self._keep(failed=error is not None)
        except UnmaskError as problem:
            error = error or problem
        except OSError as problem:
            error = error or UnmaskError(
                f"{self.folder}: the recording cannot be completed ({problem.strerror or problem})"
            )
        self._ended(self, error)

    def _take(self, frame: Frame, result: FrameResult, generation: int) -> None:
        fps = self._fps()
        if self._jsonl is None or self._video is None:
            height, width = frame.image.shape[:2]
            self._jsonl = JsonlSink(self._work / "faces.jsonl")
            self._video = VideoSink(self._work, width, height, min(max(fps, 1.0), 30.0), redact=self._redact)
        if self._before is not None:
            gap = frame.time_s - self._before[0]
            same = generation == self._before[1] and gap > 0
            self._time_s += min(gap, LONGEST_GAP_S) if same else 1 / fps
        self._before = (frame.time_s, generation)
        time_s = round(self._time_s, 6)
        result = replace(result, index=self._count, time_s=time_s)
        # The video's sink draws on the picture, which is on the screen as well.
        frame = Frame(self._count, time_s, frame.image.copy())
        self._jsonl.take(frame, result)
        try:
            self._video.take(frame, result)
        except BaseException:
            self._video_broken = True
            raise
        self._count += 1
        if self._time_s - self._safe_s >= PART_S:
            self._safe_s = self._time_s
            self._checkpoint()

    def _checkpoint(self) -> None:
        if self._jsonl is None or self._video is None:
            return
        try:
            self._parts = list(self._video.checkpoint()["parts"])
        except BaseException:
            self._video_broken = True
            raise
        self._jsonl.checkpoint()

    def _keep(self, *, failed: bool) -> None:
        """Give what is valid its final names."""
        if failed and self._video is not None and not self._video_broken:
            with contextlib.suppress(UnmaskError, OSError):
                self._parts = list(self._video.checkpoint()["parts"])
        for sink in (self._jsonl, self._video):
            if sink is not None:
                sink.abort()
        if not self._work.is_dir():
            return
        for part in self._work.glob("part-*.mp4"):
            if part.name not in self._parts:
                part.unlink()  # Cut off, so it cannot be played; its room may let the others be joined.
        lines = self._work / "faces.jsonl"
        if lines.exists():
            _cut_to_lines(lines)
            lines.replace(self.folder / "faces.jsonl")
        if self._parts:
            try:
                join_parts(
                    self._work,
                    self._parts,
                    self.video,
                    sound=None,
                    info=None,
                    redacted=self._redact,
                )
            except UnmaskError:
                for number, name in enumerate(self._parts, 1):
                    (self._work / name).replace(self.folder / f"annotated-{number}.mp4")
                if not failed:
                    shutil.rmtree(self._work, ignore_errors=True)  # What was joined of them so far.
                    raise
        shutil.rmtree(self._work, ignore_errors=True)


def _cut_to_lines(path: Path) -> None:
    """Remove what a full disk left of a last line."""
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        start = max(0, size - (1 << 16))
        file.seek(start)
        tail = file.read()
        if not tail.endswith(b"\n"):
            file.truncate(start + tail.rfind(b"\n") + 1)
