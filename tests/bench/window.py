"""``python -m tests.bench.window``: the figures of the real window, with one and with both of the shipped models.

Needs a display: without one, ``xvfb-run -s "-screen 0 1280x800x24" python -m tests.bench.window``. Each part runs in a
process of its own, as people start it. Prints a table; nothing here asserts. Close other programs first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from app import DEMO
from app.core.records import Frame, ImageU8
from app.vision.live_sources import SeekableFile
from app.vision.media import ffmpeg_binary
from app.vision.sources import FileSource

WIDTH, HEIGHT, FPS = 1280, 720, 30
WARM_S = 4.0
"""Not counted after the first result: rates are over the last seconds."""
TICK_MS = 10
"""Of the timer whose lateness is measured."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="measured each time (default: 15)")
    parser.add_argument("--minutes", type=float, default=0.0, help="watch the memory for so long, too")
    parser.add_argument("--part", choices=("start", "watch"), help=argparse.SUPPRESS)
    parser.add_argument("--source", help=argparse.SUPPRESS)
    parser.add_argument("--models", help=argparse.SUPPRESS)
    parser.add_argument("--endless", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part == "start":
        _start(args.source, args.began)
    elif args.part == "watch":
        _watch(args.source, args.seconds, args.models, endless=args.endless)
    else:
        from tests.bench.live import BOTH, measure_newest_frame

        measure_newest_frame()
        _measure_start()
        with tempfile.TemporaryDirectory() as folder:
            for faces in (1, 4):
                clip = Path(folder) / f"{faces}.mp4"
                make_clip(clip, faces, WARM_S + args.seconds + 10)
                # Straight after each other on the same clip: the ratio is what a second model costs.
                one, two = (_measure_watching(clip, faces, args.seconds, names) for names in (BOTH[:1], BOTH))
                print(f"\n{_of(faces)}, two models / one")
                _row("  shown", _ratio(two["shown"], one["shown"]))
                _row("  scores", _ratio(sum(two["scores"]), sum(one["scores"])))
            if args.minutes:
                _measure_memory(Path(folder) / "1.mp4", args.minutes)


def _measure_start() -> None:
    _run("start", "--source", "demo")  # Whatever is slow the first time only.
    empty, demo = _run("start"), _run("start", "--source", "demo")
    _row("window visible after", f"{empty['visible_cpu_s']:.2f} s of CPU time, {empty['visible_s']:.2f} s by the clock")
    _row("first scored picture of the demo clip", f"{demo['scored_s']:.2f} s by the clock, from the second start on")


def _measure_watching(clip: Path, faces: int, seconds: float, models: Sequence[str]) -> dict[str, Any]:
    found = _run("watch", "--source", str(clip), "--seconds", str(seconds), "--models", ",".join(models))
    print(f"\n{_of(faces)}, {' and '.join(models)}, {found['device']}")
    _row("  shown (new frames painted)", f"{found['shown']:.1f} /s")
    _row("  scores", f"{sum(found['scores']):.1f} /s")
    _row("  scores of each face", " ".join(f"{score:.1f}" for score in found["scores"]) + " /s")
    _row("  timer late by, p50 / p99 / max", " / ".join(f"{ms:.1f}" for ms in found["late_ms"]) + " ms")
    _row("  closed after", f"{found['closed_s']:.2f} s, process gone {found['gone_s']:.2f} s later")
    _row("  threads left", str(found["threads"]))
    return found


def _of(faces: int) -> str:
    return f"720p at {FPS} fps, {faces} face{'s' * (faces > 1)}"


def _ratio(two: float, one: float) -> str:
    return f"{two / one:.3f}" if one else "none with one model"


def _measure_memory(clip: Path, minutes: float) -> None:
    found = _run("watch", "--source", str(clip), "--endless", "--seconds", str(minutes * 60))
    early, late = found["memory_mb"]
    print()
    _row(f"memory over {minutes:g} minutes, one face", f"{early:.0f} MB at first, {late:.0f} MB at last")
    _row("  last minute / first minute", f"{late / early:.3f}")


def _row(name: str, value: str) -> None:
    print(f"{name:<40} {value}", flush=True)


def make_clip(path: Path, faces: int, seconds: float) -> None:
    """A 720p clip of the demo clip's photograph, once or in each quarter, as if a hand held the camera."""
    with FileSource(DEMO) as source:
        source.skip(35)
        frame = source.read()
    assert frame is not None
    scene = frame.image
    if faces == 4:
        # The face lies in the middle of this quarter of the frame.
        scene = scene[110:470, 300:940]
    command = [ffmpeg_binary(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}"]
    command += f"-r {FPS} -i - -c:v libx264 -preset ultrafast -crf 20 -pix_fmt yuv420p".split()
    process = subprocess.Popen([*command, str(path)], stdin=subprocess.PIPE)
    assert process.stdin is not None
    for number in range(round(seconds * FPS)):
        process.stdin.write(_shaken(scene, number, 2 if faces == 4 else 1).tobytes())
    process.stdin.close()
    assert process.wait() == 0


def _shaken(scene: ImageU8, number: int, tiles: int) -> ImageU8:
    x, y = 6 * np.sin(number / 11), 4 * np.cos(number / 17)
    moved = cv2.warpAffine(
        scene, np.array([[1, 0, x], [0, 1, y]], np.float32), scene.shape[1::-1], borderMode=cv2.BORDER_REFLECT
    )
    return np.ascontiguousarray(np.tile(moved, (tiles, tiles, 1))[:HEIGHT, :WIDTH], np.uint8)


def _run(part: str, *more: str) -> dict[str, Any]:
    """One part in a process of its own; what it printed last, and how long it took to go after that."""
    command = [sys.executable, "-m", "tests.bench.window", "--part", part, "--began", repr(time.time()), *more]
    with (
        tempfile.TemporaryDirectory() as home,  # The settings of whoever runs this stay as they are.
        subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=os.environ | {"XDG_CONFIG_HOME": home}
        ) as process,
    ):
        assert process.stdout is not None
        found: dict[str, Any] = {}
        for line in process.stdout:
            if line.startswith("{"):
                found, told = json.loads(line), time.monotonic()
    assert process.returncode == 0 and found, f"the process ended with {process.returncode}"
    return found | {"gone_s": time.monotonic() - told}


# In the processes of their own. What the program imports late is imported late here too: its import is measured.


def _start(source: str | None, began: float) -> None:
    from PySide6.QtCore import QTimer

    from app.ui import application

    found: dict[str, float] = {}
    made: list[Any] = []
    paint = application.MainWindow.paintEvent

    def painted(window: Any, event: Any) -> None:
        if not made:
            made.append(window)
            # Before everything that the window puts off until it has been painted.
            QTimer.singleShot(0, seen)
            timer.start()
        paint(window, event)

    def seen() -> None:
        found.update(visible_s=time.time() - began, visible_cpu_s=time.process_time())

    def look() -> None:
        newest = made[0].bridge.newest
        scored = newest and newest[1] and any(face.logit is not None for face in newest[1].faces)
        if found and (scored or source is None):
            found["scored_s"] = time.time() - began
            timer.stop()
            made[0].close()
            print(json.dumps(found), flush=True)

    application.MainWindow.paintEvent = painted  # type: ignore[method-assign]
    timer = QTimer(interval=5)
    timer.timeout.connect(look)
    sys.exit(application.run(source))


class _Endless:
    """A camera that films a clip, again and again: one face that never leaves."""

    frame_count: int | None = None

    def __init__(self, path: Path) -> None:
        self._clip = SeekableFile(path)
        self.name, self.fps = "endless", self._clip.fps
        self.width, self.height = self._clip.width, self._clip.height
        self._count = 0
        self._due = time.monotonic()

    def read(self) -> Frame | None:
        self._due = max(self._due + 1 / self.fps, time.monotonic() - 1)
        time.sleep(max(0.0, self._due - time.monotonic()))
        frame = self._clip.read()
        if frame is None:
            self._clip.seek(0.0)
            frame = self._clip.read()
        assert frame is not None
        self._count += 1
        return Frame(self._count, self._count / self.fps, frame.image)

    def skip(self, count: int) -> int:
        return 0

    def close(self) -> None:
        self._clip.close()


def _make_endless(choice: Any, settings: Any, on_state: Any, on_event: Any) -> Any:
    from app.pipeline.live import LiveEngine
    from app.ui.bridge import load_models

    return LiveEngine(
        lambda: _Endless(Path(choice.address)),
        lambda: load_models(settings),
        settings.analyzer_for(choice),
        live=True,
        on_state=on_state,
        on_event=on_event,
    )


def _watch(clip: str, seconds: float, models: str | None, *, endless: bool) -> None:
    from PySide6.QtCore import QSettings, Qt, QTimer
    from PySide6.QtWidgets import QApplication

    from app.ui.bridge import make_engine
    from app.ui.choices import SourceChoice
    from app.ui.main_window import MainWindow
    from app.ui.video_view import VideoView
    from tests.bench.live import memory_mb

    shown: list[float] = []
    paint: Callable[..., None] = VideoView.paintEvent
    painted: list[object] = [None]

    def counted(view: Any, event: Any) -> None:
        paint(view, event)
        if view._frame is not painted[0]:
            painted[0] = view._frame
            shown.append(time.perf_counter())

    VideoView.paintEvent = counted  # type: ignore[method-assign]
    application = QApplication([])
    application.setStyle("Fusion")
    with tempfile.TemporaryDirectory() as folder:
        store = QSettings(str(Path(folder) / "settings.ini"), QSettings.Format.IniFormat)
        window = MainWindow(store, make=_make_endless if endless else make_engine)
        window.override(models=tuple(models.split(",")) if models else None)
        window.show()
        window.open(SourceChoice.of(clip))
        ticks: list[float] = []
        memory: list[tuple[float, float]] = []
        start: dict[str, Any] = {}
        found: dict[str, Any] = {}

        def tick() -> None:
            now = time.perf_counter()
            engine = window.bridge.engine
            if engine is None or engine.latest_result() is None:
                return
            start.setdefault("first", now)
            if now - start["first"] < WARM_S:
                return
            if "at" not in start:
                start.update(at=now, scored={t.id: t.scored for t in engine.tracks()})
            ticks.append(now)
            if len(ticks) % 100 == 0:
                memory.append((now - start["at"], memory_mb()))
            if now - start["at"] >= seconds and not found:
                late = 1000 * np.diff(ticks) - TICK_MS
                span = now - start["at"]
                before = start["scored"]
                scores = [(t.scored - before[t.id]) / span for t in engine.tracks() if t.id in before]
                early, last = (
                    np.median([mb for at, mb in memory if (at <= 60 if first else at >= seconds - 60)])
                    for first in (True, False)
                )
                found.update(
                    device=engine.stats().device,
                    shown=sum(at >= start["at"] for at in shown) / span,
                    scores=[round(s, 2) for s in scores],
                    late_ms=[float(v) for v in (np.median(late), np.percentile(late, 99), late.max())],
                    memory_mb=[float(early), float(last)],
                )
                began = time.perf_counter()
                window.close()
                found["closed_s"] = time.perf_counter() - began
                found["threads"] = sum(t.name.startswith("unmask") for t in threading.enumerate())
                print(json.dumps(found), flush=True)
                application.quit()

        timer = QTimer(interval=TICK_MS, timerType=Qt.TimerType.PreciseTimer)
        timer.timeout.connect(tick)
        timer.start()
        application.exec()


if __name__ == "__main__":
    main()
