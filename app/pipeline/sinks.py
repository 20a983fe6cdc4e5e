"""Where results go while a source is being analysed: JSON lines and the annotated video."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path
from typing import IO, Any, Protocol

import cv2
import ffmpeg
import numpy as np

from app.core.errors import UnmaskError
from app.core.files import ANOTHER_PROJECT, cannot_write
from app.core.records import FaceResult, Frame, FrameResult, ImageU8
from app.pipeline.records import SCHEMA, TimelinePoint, votes_json
from app.vision.media import MediaInfo, ffmpeg_binary, utf8_name
from app.vision.overlay import draw
from app.vision.redaction import Redactor


class Sink(Protocol):
    """Takes every analysed frame in order. ``checkpoint`` makes what was taken so far safe on disk."""

    def take(self, frame: Frame, result: FrameResult) -> None: ...

    def checkpoint(self) -> dict[str, Any]:
        """Make everything taken so far durable; the JSON from which a new sink goes on."""
        ...

    def abort(self) -> None:
        """Let go of everything at once, after an error. Safe to call twice and after ``checkpoint``."""
        ...


class JsonlSink:
    """``faces.jsonl``: a line per face per frame.

    Args:
        path: of the file; it is cut back to the checkpoint when one is given.
        checkpoint: of an earlier sink on the same file.

    Raises:
        UnmaskError: the file cannot be written.
    """

    def __init__(self, path: Path, checkpoint: dict[str, Any] | None = None) -> None:
        self._path = path
        try:
            self._file: IO[bytes] = path.open("r+b" if checkpoint else "wb")
            if checkpoint:
                self._file.truncate(int(checkpoint["bytes"]))
                self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise cannot_write(path, error, ANOTHER_PROJECT) from None

    def take(self, frame: Frame, result: FrameResult) -> None:
        try:
            for line in face_lines(result):
                self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        except OSError as error:
            raise cannot_write(self._path, error, ANOTHER_PROJECT) from None

    def checkpoint(self) -> dict[str, Any]:
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            return {"bytes": self._file.tell()}
        except OSError as error:
            raise cannot_write(self._path, error, ANOTHER_PROJECT) from None

    def abort(self) -> None:
        try:
            self._file.close()
        except OSError:
            pass  # A full disk: the error was told when it was met.


def face_lines(result: FrameResult) -> list[dict[str, Any]]:
    """The JSON objects of one frame's faces; ``models`` is there where several judged."""
    return [
        {
            "schema": SCHEMA,
            "frame": result.index,
            "time_s": result.time_s,
            "track": face.track,
            "box": list(face.detection.box.xyxy),
            "confidence": face.detection.confidence,
            "verdict": face.opinion.verdict.value,
            "p_fake": None if face.opinion.p_fake is None else round(face.opinion.p_fake, 4),
            "reason": face.opinion.reason,
            "logit": face.logit,
            "quality": None
            if face.quality is None
            else {
                "size_px": round(face.quality.size_px, 2),
                "sharpness": face.quality.sharpness,
                "brightness": face.quality.brightness,
                "yaw": face.quality.yaw,
            },
            "keypoints": [list(point) for point in face.detection.keypoints],
        }
        | _models(face)
        for face in result.faces
    ]


def _models(face: FaceResult) -> dict[str, Any]:
    if not face.votes:
        return {}
    said = votes_json(face.votes)
    return {"models": {vote.model: said[vote.model] | {"logit": vote.logit} for vote in face.votes}}


def read_timelines(path: Path, most_points: int = 600) -> dict[int, tuple[TimelinePoint, ...]]:
    """The smoothed probability of every track over time from ``faces.jsonl``, at most ``most_points`` a track."""
    timelines: dict[int, list[TimelinePoint]] = {}
    steps: dict[int, int] = {}
    seen: dict[int, int] = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if row["p_fake"] is None:
                continue
            track = int(row["track"])
            points = timelines.setdefault(track, [])
            seen[track] = seen.get(track, -1) + 1
            if seen[track] % steps.setdefault(track, 1) == 0:
                points.append(TimelinePoint(row["time_s"], row["p_fake"]))
                if len(points) > most_points:
                    # Thinned by half each time it is full: memory stays flat however long the video is.
                    del points[1::2]
                    steps[track] *= 2
    return {track: tuple(points) for track, points in timelines.items()}


class VideoSink:
    """The annotated video, written as a chain of parts that each checkpoint closes.

    ffmpeg gets raw frames on a constant grid of ``fps``; a frame is repeated until the next one is due by its own
    timestamp, and left out where its place is taken, so that a variable frame rate stays in step with the sound.
    :func:`join_parts` makes the final file.

    Args:
        folder: for the parts.
        width, height: of the frames, pixels; odd sizes are padded by one pixel in the video.
        fps: of the grid, frames a second.
        checkpoint: of an earlier sink in the same folder.
        redact: pixelate faces that are not flagged: see :class:`Redactor`.
    """

    LONGEST_GAP_S = 60.0
    """A longer jump of the timestamps is a fault of the file, not a pause worth millions of repeated frames."""

    def __init__(
        self,
        folder: Path,
        width: int,
        height: int,
        fps: float,
        checkpoint: dict[str, Any] | None = None,
        *,
        redact: bool = False,
    ) -> None:
        self._redactor = Redactor((checkpoint or {}).get("held")) if redact else None
        self._folder = folder
        self._size = (width, height)
        self._fps = fps
        self._parts: list[str] = list(checkpoint["parts"]) if checkpoint else []
        self._slot: int = int(checkpoint["slot"]) if checkpoint else 0
        self._process: subprocess.Popen[bytes] | None = None
        self._last: ImageU8 | None = None

    def take(self, frame: Frame, result: FrameResult) -> None:
        image = frame.image
        # Before the size is changed: the boxes are those of the frame as it came.
        if self._redactor is not None:
            self._redactor.redact(image, result)
        draw(image, result)
        if (image.shape[1], image.shape[0]) != self._size:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        slot = round(frame.time_s * self._fps)
        if slot < self._slot:
            return  # Frames come faster than the grid: to show them all would leave the sound behind.
        missing = min(slot - self._slot, int(self.LONGEST_GAP_S * self._fps))
        data = np.ascontiguousarray(image)
        # A gap before the first frame of a part is filled with that frame: the one before went to the last part.
        for _ in range(missing):
            self._write(data if self._last is None else self._last)
        self._write(data)
        self._last = data
        self._slot = slot + 1

    @property
    def seconds(self) -> float:
        """How long the video is so far."""
        return self._slot / self._fps

    def checkpoint(self) -> dict[str, Any]:
        self._finish()
        held = {} if self._redactor is None else self._redactor.state()
        return {"parts": self._parts, "slot": self._slot, "held": held}

    def abort(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _write(self, data: ImageU8) -> None:
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(data.data)
        except OSError:
            raise self._failure() from None

    def _start(self) -> subprocess.Popen[bytes]:
        name = f"part-{len(self._parts):05d}.mp4"
        self._parts.append(name)
        stream = ffmpeg.input(
            "pipe:0", format="rawvideo", pix_fmt="bgr24", s="{}x{}".format(*self._size), framerate=self._fps
        ).output(
            f"file:{name}",
            vf="pad=ceil(iw/2)*2:ceil(ih/2)*2,scale=out_color_matrix=bt709:out_range=tv",
            vcodec="libx264",
            preset="veryfast",
            crf=21,
            pix_fmt="yuv420p",
            colorspace="bt709",
            color_primaries="bt709",
            color_trc="bt709",
            video_track_timescale=90000,
            **{"x264-params": "threads=2:lookahead-threads=1"},
        )
        command = ffmpeg.compile(stream.global_args("-v", "error", "-y"), cmd=ffmpeg_binary())
        # Its own session: Ctrl-C in the terminal stops us, and we then let ffmpeg finish the part.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=self._folder,
            start_new_session=True,
        )
        return self._process

    def _finish(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        try:
            _, errors = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise UnmaskError(
                f"{self._folder}: ffmpeg did not finish the annotated video; try again or use --no-save"
            ) from None
        if process.returncode != 0:
            raise _ffmpeg_failed(self._folder, errors)
        self._last = None

    def _failure(self) -> UnmaskError:
        process, self._process = self._process, None
        assert process is not None and process.stderr is not None
        process.kill()
        errors = process.stderr.read()
        process.wait()
        return _ffmpeg_failed(self._folder, errors)


def grid_fps(fps: float, info: MediaInfo | None, stride: int = 1) -> float:
    """Frames a second of the annotated video: the rate that holds all of the source's timestamps, if it is sane."""
    candidates = [info.frame_rate if info else None, fps]
    rate = next((r for r in candidates if r is not None and 1 <= r <= 120), 30.0)
    return rate / stride


def join_parts(
    folder: Path,
    parts: list[str],
    target: Path,
    *,
    sound: Path | None,
    info: MediaInfo | None,
    cut_to_s: float | None = None,
    redacted: bool = False,
) -> None:
    """Make the annotated video of its parts and the source's own sound, in step, under its final name.

    Args:
        sound: the source file; None, or a file without sound, gives a silent video.
        cut_to_s: seconds of picture, where the sound is to end with it: for a scan that did not reach the end.
        redacted: said in the file's own comment, which tells what it contains.

    Raises:
        UnmaskError: it cannot be written.
    """
    listing = folder / "parts.txt"
    try:
        listing.write_text("".join(f"file {name}\n" for name in parts), encoding="utf-8")
    except OSError as error:
        raise cannot_write(listing, error, ANOTHER_PROJECT) from None
    inputs = [ffmpeg.input(f"file:{listing.name}", f="concat")["v"]]
    options: dict[str, Any] = {"c:v": "copy", "movflags": "+faststart"}
    with contextlib.ExitStack() as names:
        if sound is not None and info is not None and info.audio_codec is not None:
            # With -copyts the file's own clock counts, and its picture is at 0 here. Without, ffmpeg starts a file at
            # its earliest stream, or some at the earliest one in use, which would be the sound.
            name = names.enter_context(utf8_name(sound.resolve()))
            source = ffmpeg.input(f"file:{name}", itsoffset=-info.picture_start_s, protocol_whitelist="file")
            inputs.append(source["a:0"])
            copies = info.audio_codec in ("aac", "mp3")
            options |= {"c:a": "copy"} if copies else {"c:a": "aac", "b:a": "160k"}
            if cut_to_s is not None:
                options["t"] = cut_to_s  # Not "shortest": that would cost the picture where the sound is shorter.
        options["metadata"] = f"comment={_contents(redacted, with_sound=len(inputs) > 1)}"
        stream = ffmpeg.output(*inputs, "file:joined.mp4", **options)
        command = ffmpeg.compile(stream.global_args("-v", "error", "-y", "-nostdin", "-copyts"), cmd=ffmpeg_binary())
        done = subprocess.run(command, capture_output=True, check=False, cwd=folder, start_new_session=True)
    if done.returncode == 0:
        try:
            (folder / "joined.mp4").replace(target)
        except OSError as error:
            raise cannot_write(target, error, ANOTHER_PROJECT) from None
    elif sound is not None:
        # Sound that ffmpeg cannot read must not cost the picture.
        join_parts(folder, parts, target, sound=None, info=None, cut_to_s=cut_to_s, redacted=redacted)
    else:
        raise _ffmpeg_failed(target, done.stderr)


def _contents(redacted: bool, *, with_sound: bool) -> str:
    """What the annotated video contains, for whoever is given it."""
    faces = "faces not flagged AI-GENERATED are pixelated" if redacted else "faces can be recognised"
    sound = "the source's sound, unchanged" if with_sound else "no sound"
    return f"Made by Unmask: the source's picture with verdicts drawn on it; {faces}; {sound}."


def _ffmpeg_failed(path: Path, errors: bytes) -> UnmaskError:
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    reason = lines[-1] if lines else "ffmpeg stopped"
    if any("No space left" in line for line in lines):
        reason = "no space left on the disk"
    return UnmaskError(f"{path}: the annotated video cannot be written ({reason}); free some space or use --no-save")
