"""The whole scan against the sum and the greatest of its stages, and how time and memory grow with length and faces.

A scan reads, analyses and writes at once: it cannot be faster than its slowest stage, and
should not take the sum of all.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from app import DEMO
from app.core.records import Frame, FrameResult, ImageU8
from app.pipeline.batch import Models, ScanOptions, scan
from app.pipeline.sinks import VideoSink, grid_fps, join_parts
from app.vision.analyzer import AnalyzerOptions, FrameAnalyzer, together
from app.vision.media import ffmpeg_binary
from app.vision.overlay import draw
from app.vision.sources import FileSource, may_wait
from tests.bench.results import Row, row

SIZES = {"480p": (854, 480), "720p": (1280, 720), "1080p": (1920, 1080)}
FACES = (0, 1, 4, 16)
LENGTHS = (1, 4, 16)
FPS = 25
OPTIONS = ScanOptions(analyzer=AnalyzerOptions(score_interval_s=0.0, min_size_px=1.0))
"""Every face is scored on every frame, however small, so that it is the number of faces that counts."""


def measure(
    models: Models,
    seconds: float,
    repeats: int,
    sizes: Sequence[str] = tuple(SIZES),
    faces_seen: Sequence[int] = FACES,
) -> list[Row]:
    """Stages and whole at every size and number of faces."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            for faces in faces_seen:
                clip = make_clip(Path(folder) / f"{size}-{faces}.mp4", SIZES[size], faces, seconds)
                rows += _one(models, clip, f"{size}, {faces} faces", repeats)
                clip.unlink()
    return rows


def _one(models: Models, clip: Path, label: str, repeats: int) -> list[Row]:
    times: dict[str, list[float]] = {}
    for turn in range(repeats + 1):
        # In turn, so that a slow minute of the machine meets all of them.
        for name, seconds in _stages(models, clip).items():
            if turn:
                times.setdefault(name, []).append(seconds)
    total = [sum(times[name][n] for name in STAGES) for n in range(repeats)]
    longest = [max(times[name][n] for name in STAGES) for n in range(repeats)]
    # No order of the stages is faster than all cores busy all the time.
    least = [seconds / (os.cpu_count() or 1) for seconds in times["cpu"]]
    middle = float(np.median(times["whole"]))
    shares = ", ".join(f"{name} {np.median(times[name]) / np.median(total):.0%}" for name in STAGES)
    shares += f"; {times['scores'][0]:.0f} scores"
    return [
        row("stages", f"{label}: sum of the stages", total, "s", middle, "the whole scan", shares),
        row("stages", f"{label}: longest stage", longest, "s", middle, "the whole scan"),
        row("stages", f"{label}: its work on all cores", least, "s", middle, "the whole scan"),
        row("stages", f"{label}: whole scan", times["whole"], "s"),
    ]


STAGES = ("decode", "detect", "classify", "draw", "encode")


def _stages(models: Models, clip: Path) -> dict[str, float]:
    """Seconds of each stage by itself over the whole clip, and of the scan."""
    found = dict.fromkeys((*STAGES, "whole", "scores"), 0.0)
    # A scan's own pipeline of steps, one after the other, with a watch on each.
    analyzer = FrameAnalyzer(_Timed(models.detector, "detect", found), models.ensemble, OPTIONS.analyzer)  # type: ignore[arg-type]
    score = models.ensemble.score
    with FileSource(clip) as source:
        object.__setattr__(models.ensemble, "score", _watched(score, "classify", found))
        frames: list[Frame] = []
        try:
            for some in together(analyzer, _watched_frames(source, found), may_wait(source), threading.Event()):
                results = analyzer.judge([faces for _, faces in some])
                for (frame, _), result in zip(some, results, strict=True):
                    found["scores"] += sum(face.logit is not None for face in result.faces)
                    with _watch(found, "draw"):
                        draw(frame.image, result)
                    frames.append(frame)
        finally:
            object.__setattr__(models.ensemble, "score", score)
        _encode(frames, source, found)
    before = _cpu_s()
    with tempfile.TemporaryDirectory() as folder, _watch(found, "whole"):
        scan(str(clip), Path(folder), models, OPTIONS)
    found["cpu"] = _cpu_s() - before
    return found


def _encode(frames: Sequence[Frame], source: FileSource, found: dict[str, float]) -> None:
    """All frames, with nothing else beside: ffmpeg is a process of its own, which other stages would hide."""
    with tempfile.TemporaryDirectory() as folder, _watch(found, "encode"):
        sink = VideoSink(Path(folder), source.width, source.height, grid_fps(source.fps, source.info))
        for frame in frames:
            sink.take(frame, FrameResult(frame.index, frame.time_s, ()))
        parts = sink.checkpoint()["parts"]
        join_parts(Path(folder), parts, Path(folder) / "annotated.mp4", sound=None, info=None)


def _watched_frames(source: FileSource, found: dict[str, float]) -> Iterator[Frame]:
    while True:
        with _watch(found, "decode"):
            frame = source.read()
        if frame is None:
            return
        yield frame


def _cpu_s() -> float:
    """Seconds of all cores that this process and its children have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


@contextlib.contextmanager
def _watch(found: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    found[name] += time.perf_counter() - began


def _watched(call: Callable[..., object], name: str, found: dict[str, float]) -> Callable[..., object]:
    def timed(*given: object) -> object:
        with _watch(found, name):
            return call(*given)

    return timed


class _Timed:
    """A detector with a watch on it."""

    def __init__(self, detector: object, name: str, found: dict[str, float]) -> None:
        self.detect = _watched(detector.detect, name, found)  # type: ignore[attr-defined]

    def close(self) -> None:
        pass


def growth(models: Models, seconds: float, repeats: int) -> list[Row]:
    """Time and peak memory of scans of clips 1, 4 and 16 times as long, and with 1 to 16 faces."""
    rows: list[Row] = []
    cases = [(f"length x{n}", 1, n) for n in LENGTHS] + [(f"faces x{n}", n, 1) for n in FACES[1:]]
    base: dict[str, float] = {}
    for label, faces, times in cases:
        with tempfile.TemporaryDirectory() as folder:
            clip = make_clip(Path(folder) / "clip.mp4", SIZES["480p"], faces, seconds * times)
            took, peaks = [], []
            for _ in range(repeats):
                began = time.perf_counter()
                with peak_mb() as peak:
                    scan(str(clip), Path(folder) / "out", models, OPTIONS)
                took.append((time.perf_counter() - began) / times)
                peaks.append(peak[0])
        kind = "faces" if times == 1 and label.startswith("faces") else "length"
        base.setdefault(f"{kind} time", float(np.median(took)))
        base.setdefault(f"{kind} memory", float(np.median(peaks)))
        rows.append(row("growth", f"{label}: time a unit of length", took, "s", base[f"{kind} time"], "x1"))
        rows.append(row("growth", f"{label}: peak memory", peaks, "MB", base[f"{kind} memory"] or None, "x1"))
    return rows


@contextlib.contextmanager
def peak_mb() -> Iterator[list[float]]:
    """Filled at the end: the most resident memory of this process meanwhile, from Linux; 0 elsewhere."""
    found = [0.0]
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    yield found
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        found[0] = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def make_clip(path: Path, size: tuple[int, int], faces: int, seconds: float) -> Path:
    """A clip of the demo clip's photograph, once or tiled so that ``faces`` are seen, as if a hand held the camera."""
    with FileSource(DEMO) as source:
        source.skip(35)
        frame = source.read()
    assert frame is not None
    tiles = max(1, round(faces**0.5))
    # The more tiles, the closer: a face is to be large enough to be judged.
    scene: ImageU8 = {1: frame.image, 2: frame.image[110:470, 300:940]}.get(tiles, frame.image[150:430, 371:869])
    if not faces:
        scene = np.ascontiguousarray(scene[:, :200])  # The wall beside the face.
    inner = (-(-size[0] // tiles), -(-size[1] // tiles))
    small = np.asarray(cv2.resize(scene, inner, interpolation=cv2.INTER_AREA), np.uint8)
    command = [
        ffmpeg_binary(),
        "-v",
        "error",
        "-y",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "bgr24",
        "-s",
        f"{size[0]}x{size[1]}",
    ]
    command += f"-r {FPS} -i - -c:v libx264 -preset ultrafast -crf 20 -pix_fmt yuv420p".split()
    process = subprocess.Popen([*command, str(path)], stdin=subprocess.PIPE)
    assert process.stdin is not None
    for number in range(max(2, round(seconds * FPS))):
        shift = np.array([[1, 0, 3 * np.sin(number / 11)], [0, 1, 2 * np.cos(number / 17)]], np.float32)
        moved = cv2.warpAffine(small, shift, inner, borderMode=cv2.BORDER_REFLECT)
        process.stdin.write(np.ascontiguousarray(np.tile(moved, (tiles, tiles, 1))[: size[1], : size[0]]).tobytes())
    process.stdin.close()
    assert process.wait() == 0
    return path
