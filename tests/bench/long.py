"""``python -m tests.bench.long live|scan [--hours H]``: whether memory, handles and threads stay flat for hours.

``live`` plays the demo clip over and over at 30 frames a second to the live engine with the shipped model; ``scan``
scans the demo clip repeated for so many hours, at 10 frames a second, with the annotated video. Prints a line every
few minutes and at the end the growth from the second tenth of the time to the last; leaves a table in docs/benchmarks.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app import DEMO
from app.pipeline.live import LiveEngine, LiveState
from app.vision.media import ffmpeg_binary
from tests.bench.live import OPTIONS, Loop, real_models
from tests.bench.results import machine

EVERY_S = 10.0
SCAN_FPS = 10


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process holds at one moment; ``memory_mb`` is resident and its own, without the files it maps."""

    at_s: float
    memory_mb: float
    handles: int
    threads: int
    note: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.long", description=__doc__)
    parser.add_argument("what", choices=("live", "scan"))
    parser.add_argument("--hours", type=float, help="(default: 1 of live, 2 of video)")
    parser.add_argument("--to", type=Path, default=Path("docs/benchmarks"), help="(default: %(default)s)")
    args = parser.parse_args()
    hours = args.hours or {"live": 1.0, "scan": 2.0}[args.what]
    samples = (_live if args.what == "live" else _scan)(hours * 3600)
    lines = _table(args.what, hours, samples)
    args.to.mkdir(parents=True, exist_ok=True)
    (args.to / f"long-{args.what}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _live(seconds: float) -> list[Sample]:
    engine = LiveEngine(Loop, real_models, OPTIONS, live=True)
    engine.start()
    end = time.monotonic() + seconds

    def note() -> str:
        stats = engine.stats()
        return (
            f"shown {stats.shown_fps:.1f}/s, scores {stats.score_rate:.1f}/s, age {stats.inference_age_s * 1000:.0f} ms"
        )

    samples = _watch(os.getpid(), lambda: time.monotonic() < end and engine.state is not LiveState.FAILED, note)
    engine.stop()
    print(f"threads gone: {engine.join(10)}, {threading.active_count()} left")
    return samples


def _scan(seconds: float) -> list[Sample]:
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "long.mp4"
        filters = f"fps={SCAN_FPS},scale=640:-2"
        words = [
            "-v",
            "error",
            "-nostdin",
            "-stream_loop",
            "-1",
            "-t",
            str(seconds),
            "-i",
            str(DEMO),
            "-an",
            "-vf",
            filters,
        ]
        subprocess.run([ffmpeg_binary(), *words, "-preset", "ultrafast", str(clip)], check=True)
        command = [sys.executable, "-m", "app", "scan", str(clip), "--project", folder, "--name", "n", "--json"]
        began = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        samples = _watch(child.pid, lambda: child.poll() is None, lambda: "")
        took = time.perf_counter() - began
        print(f"exit code {child.returncode}, {seconds / took:.1f} times real time")
    return samples


def _watch(pid: int, goes_on: Callable[[], bool], note: Callable[[], str]) -> list[Sample]:
    samples: list[Sample] = []
    began = time.monotonic()
    while goes_on():
        time.sleep(EVERY_S)
        place = Path(f"/proc/{pid}")
        try:
            pages = (place / "statm").read_text(encoding="ascii").split()
            memory = (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE") / 1e6
            held = len(list((place / "fd").iterdir())), len(list((place / "task").iterdir()))
        except OSError:
            break
        samples.append(Sample(time.monotonic() - began, memory, *held, note()))
        if len(samples) % 12 == 0:
            print(samples[-1], flush=True)
    return samples


def _table(what: str, hours: float, samples: list[Sample]) -> list[str]:
    tenths = np.array_split(np.arange(len(samples)), 10)
    rows = [[samples[i] for i in part] for part in tenths if len(part)]
    lines = [f"# {hours:g} hours of {what}", "", f"Made by `python -m tests.bench.long {what} --hours {hours:g}`.", ""]
    lines += [f"- {name}: {value}" for name, value in machine().items()]
    lines += ["", "| from, min | memory, MB | handles | threads | |", "|---:|---:|---:|---:|---|"]
    for part in rows:
        memory, handles, threads = (
            statistics.median(getattr(s, name) for s in part) for name in ("memory_mb", "handles", "threads")
        )
        lines.append(f"| {part[0].at_s / 60:.0f} | {memory:.0f} | {handles:.0f} | {threads:.0f} | {part[-1].note} |")
    if len(rows) > 2:
        first, last = (statistics.median(s.memory_mb for s in part) for part in (rows[1], rows[-1]))
        lines += ["", f"Memory of the last tenth over that of the second: {last / first:.3f}."]
    return lines


if __name__ == "__main__":
    main()
