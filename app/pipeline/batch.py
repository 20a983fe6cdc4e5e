"""scan(): every frame of a recorded source, lossless and resumable."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from app.core.channels import BoundedQueue, Closed, Stop
from app.core.consensus import Consensus
from app.core.errors import UnmaskError
from app.core.files import ANOTHER_PROJECT, cannot_write, whole_file, write_whole
from app.core.records import Frame, FrameResult, Verdict
from app.core.scoring import video_opinion
from app.models.ensemble import Ensemble
from app.pipeline.highlights import Highlights, save_highlights
from app.pipeline.records import VideoReport
from app.pipeline.sinks import JsonlSink, Sink, VideoSink, grid_fps, join_parts, read_timelines
from app.vision.analyzer import AnalyzerOptions, FrameAnalyzer, together
from app.vision.detector import FaceDetector
from app.vision.media import ffmpeg_binary
from app.vision.sources import FileSource, FrameSource, UrlSource, may_wait, open_source, without_password

WORK = ".work"
"""Folder inside a run that holds what an interrupted scan goes on from; gone when the scan is complete."""

CHECKPOINT_S = 30.0
"""Seconds of video between checkpoints: what a killed scan does again at most."""

SKIPPED_AT_ONCE = 25
"""Frames that a resumed scan passes over before it looks whether it is to stop."""


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """How a source is scanned.

    Attributes:
        analyzer: see :class:`AnalyzerOptions`.
        conf: least confidence of the face detector, [0, 1].
        min_face: faces with a shorter side below this are not looked at, pixels.
        vid_stride: every n-th frame is analysed; all are decoded.
        save: write the annotated video.
        redact: no face that is not flagged AI-GENERATED can be recognised in what is written.
    """

    analyzer: AnalyzerOptions = field(default_factory=AnalyzerOptions)
    conf: float = 0.5
    min_face: float = 20.0
    vid_stride: int = 1
    save: bool = True
    redact: bool = False


@dataclass(frozen=True, slots=True)
class Models:
    """What a scan needs loaded; shared by all sources of a run, used and closed on the thread that calls scan()."""

    detector: FaceDetector
    ensemble: Ensemble

    @property
    def consensus(self) -> Consensus:
        """Who judges, and by which thresholds."""
        return self.ensemble.consensus

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.detector.close()
        self.ensemble.close()


def scan(
    address: str,
    folder: Path,
    models: Models,
    options: ScanOptions,
    *,
    resume: bool = False,
    stop: Stop | None = None,
    on_progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> VideoReport:
    """Scan one video file or URL and leave the annotated video and ``faces.jsonl`` in ``folder``.

    Reading, analysing and writing overlap in three threads; nothing is ever dropped between them.

    Args:
        folder: of this source; made if needed.
        resume: go on from the checkpoint that ``folder`` may hold.
        stop: when set, what was done so far is kept, valid and marked partial.
        on_progress: told frames done and frames in all (None when unknown), every few frames.

    Raises:
        UnmaskError: the source cannot be opened, an output cannot be written, or the checkpoint is of another scan.
    """
    stop = stop or threading.Event()
    source = open_source(address)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = folder / WORK
        fingerprint = fingerprint_of(source, models.consensus, options)
        saved = _read_checkpoint(work, fingerprint) if resume else None
        if saved is None:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
    except OSError as error:
        source.close()
        raise cannot_write(folder, error, ANOTHER_PROJECT) from None
    except UnmaskError:
        source.close()
        raise
    try:
        run = _Run(source, work, models, options, fingerprint, saved)
        try:
            run.go(stop, on_progress)
        finally:
            run.close()
    finally:
        source.close()
    return run.finish(address, folder, interrupted=stop.is_set())


class _Run:
    """One source on its way through the three threads."""

    def __init__(
        self,
        source: FrameSource,
        work: Path,
        models: Models,
        options: ScanOptions,
        fingerprint: str,
        saved: dict[str, Any] | None,
    ) -> None:
        self._source, self._work, self._models, self._options = source, work, models, options
        self._fingerprint = fingerprint
        self._info = source.info if isinstance(source, FileSource) else None
        self._highlights = Highlights(redact=options.redact)
        self._analyzer = FrameAnalyzer(models.detector, models.ensemble, options.analyzer, self._highlights.offer)
        self._read = 0
        self._done = 0
        self._faces = 0
        self._last_s = 0.0
        self._complete = False
        self._writer_error: BaseException | None = None
        sinks = saved["sinks"] if saved else {}
        if saved:
            self._analyzer.restore(saved["analyzer"])
            self._highlights.load(work / "highlights.npz")
            self._read, self._done = saved["read"], saved["done"]
            self._faces, self._last_s = saved["faces"], saved["last_s"]
        self._sinks: dict[str, Sink] = {"jsonl": JsonlSink(work / "faces.jsonl", sinks.get("jsonl"))}
        if options.save:
            self._sinks["video"] = VideoSink(
                work,
                source.width,
                source.height,
                grid_fps(source.fps, self._info, options.vid_stride),
                sinks.get("video"),
                redact=options.redact,
            )

    def go(self, stop: Stop, on_progress: Callable[[int, int | None], None]) -> None:
        frames: BoundedQueue[Frame] = BoundedQueue(may_wait(self._source))
        results: BoundedQueue[tuple[Frame, FrameResult] | dict[str, Any]] = BoundedQueue(may_wait(self._source))
        reader = threading.Thread(target=self._read_frames, args=(frames, self._read, stop), name="reader")
        writer = threading.Thread(target=self._write_results, args=(results,), name="writer")
        reader.start()
        writer.start()
        saved_s = self._last_s
        try:
            for some in together(self._analyzer, frames, may_wait(self._source), stop):
                judged = self._analyzer.judge([found for _, found in some])
                for (frame, found), result in zip(some, judged, strict=True):
                    self._faces += len(found.detections)
                    results.put((frame, result))
                self._read, self._done, self._last_s = frame.index + 1, self._done + len(some), frame.time_s
                if self._last_s - saved_s >= CHECKPOINT_S:
                    saved_s = self._last_s
                    results.put(self._state())
                on_progress(self._read, self._source.frame_count)
                if stop.is_set():
                    break
            else:
                self._complete = not stop.is_set()
            results.put(self._state())
        except Closed:
            pass  # The writer failed; its error is raised below.
        finally:
            frames.close(discard=True)
            results.close()
            reader.join()
            writer.join()
        if self._writer_error is not None:
            raise self._writer_error

    def _read_frames(self, frames: BoundedQueue[Frame], skip: int, stop: Stop) -> None:
        try:
            stride = self._options.vid_stride
            for left in range(skip, 0, -SKIPPED_AT_ONCE):
                if stop.is_set():
                    raise Closed
                if self._source.skip(min(left, SKIPPED_AT_ONCE)) < min(left, SKIPPED_AT_ONCE):
                    raise UnmaskError(
                        f"{self._source.name}: shorter than when its scan was interrupted; "
                        "scan it anew without --resume"
                    )
            while (frame := self._source.read()) is not None:
                if frame.index % stride == 0:
                    frames.put(frame)
        except Closed:
            pass
        except BaseException as error:  # Handed to the thread that waits for frames.
            frames.close(error)
        frames.close()

    def _write_results(self, results: BoundedQueue[tuple[Frame, FrameResult] | dict[str, Any]]) -> None:
        try:
            for item in results:
                if isinstance(item, dict):
                    self._write_checkpoint(item)
                else:
                    for sink in self._sinks.values():
                        sink.take(*item)
        except BaseException as error:  # Handed to the thread that analyses, which then stops.
            self._writer_error = error
            results.close(discard=True)

    def _state(self) -> dict[str, Any]:
        """The state after the frame just analysed, taken on the analysing thread, written on the writer's."""
        # A picture of a face that may never be flagged is not written, even if a resumed scan shows fewer of them.
        kept = {t.id for t in self._analyzer.tracks() if t.opinion.verdict is Verdict.FAKE}
        return {
            "highlights": self._highlights.snapshot(kept if self._options.redact else None),
            "fingerprint": self._fingerprint,
            "read": self._read,
            "done": self._done,
            "faces": self._faces,
            "last_s": self._last_s,
            "analyzer": self._analyzer.state(),
        }

    def _write_checkpoint(self, state: dict[str, Any]) -> None:
        state["sinks"] = {name: sink.checkpoint() for name, sink in self._sinks.items()}
        save_highlights(self._work / "highlights.npz", state.pop("highlights"))
        write_whole(self._work / "state.json", json.dumps(state), ANOTHER_PROJECT)

    def close(self) -> None:
        for sink in self._sinks.values():
            sink.abort()

    def finish(self, address: str, folder: Path, *, interrupted: bool) -> VideoReport:
        """Make the final files of the checkpoint just written, and the report."""
        error = None if interrupted else self._early_end()
        partial = not self._complete or error is not None
        with whole_file(folder / "faces.jsonl", ANOTHER_PROJECT) as whole:
            shutil.copyfile(self._work / "faces.jsonl", whole)
        if isinstance(sink := self._sinks.get("video"), VideoSink) and (parts := sink.checkpoint()["parts"]):
            sound = self._source.path if isinstance(self._source, FileSource) else None
            join_parts(
                self._work,
                parts,
                folder / "annotated.mp4",
                sound=sound,
                info=self._info,
                cut_to_s=sink.seconds if partial else None,
                redacted=self._options.redact,
            )
        if self._complete:
            shutil.rmtree(self._work, ignore_errors=True)
        tracks = tuple(self._analyzer.tracks())
        return VideoReport(
            source=without_password(address),
            kind="video",
            opinion=video_opinion(tracks),
            frames=self._done,
            faces=self._faces,
            duration_s=self._last_s,
            tracks=tracks,
            consensus=judging_by(self._models.consensus, self._options.analyzer),
            device=self._models.ensemble.device,
            settings=settings_of(self._options),
            timelines=read_timelines(folder / "faces.jsonl"),
            highlights=self._highlights.of(tracks),
            redacted=self._options.redact,
            error=error,
            partial=partial,
            fingerprint=self._fingerprint,
        )

    def _early_end(self) -> str | None:
        """A sentence if the file ends before its own description says, and its container confirms the damage."""
        expected = self._source.frame_count
        if isinstance(self._source, UrlSource) and self._source.broke_off():
            return f"{self._source.name}: the connection broke off after {self._read} of {expected} frames; try again"
        if not isinstance(self._source, FileSource) or expected is None or self._read >= expected * 0.97 - 3:
            return None
        if not _demuxing_fails(self._source.path):
            return None
        return (
            f"{self._source.path}: the file ends early or is damaged: {self._read} of about {expected} frames "
            "could be read; try another copy"
        )


def judging_by(consensus: Consensus, options: AnalyzerOptions) -> Consensus:
    """The consensus with the thresholds that a scan with these options goes by, for its report."""
    return consensus.judging_by(options.thresholds(consensus.thresholds))


def settings_of(options: ScanOptions) -> dict[str, Any]:
    flat = asdict(options)
    analyzer = flat.pop("analyzer")
    return {key: value for key, value in {**flat, **analyzer}.items() if value is not None}


def fingerprint_of(source: FrameSource, consensus: Consensus, options: ScanOptions) -> str:
    """What must be the same for a scan to go on: the source's content, the models and the options."""
    digest = hashlib.sha256(consensus.identity.encode() + json.dumps(settings_of(options)).encode())
    if isinstance(source, FileSource):
        digest.update(str(source.path.stat().st_size).encode())
        with source.path.open("rb") as file:
            digest.update(file.read(1 << 20))
    else:
        digest.update(source.name.encode())
    return digest.hexdigest()


def _read_checkpoint(work: Path, fingerprint: str) -> dict[str, Any] | None:
    try:
        state = json.loads((work / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(state, dict) or state.get("fingerprint") != fingerprint:
        raise UnmaskError(
            f"{work.parent}: was scanned with another file, model or options; "
            "give the same ones, or scan anew without --resume"
        )
    return state


def _demuxing_fails(path: Path) -> bool:
    """Whether ffmpeg complains when it walks through the packets of the file, without decoding them."""
    command = [
        ffmpeg_binary(),
        "-v",
        "error",
        "-nostdin",
        "-protocol_whitelist",
        "file,pipe",
        "-i",
        f"file:{path.resolve()}",
    ]
    command += ["-map", "0:V:0", "-c", "copy", "-f", "null", "-"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=600, check=False, start_new_session=True)
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0 or bool(done.stderr.strip())
