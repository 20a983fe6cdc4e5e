"""A folder of videos scanned by one, two and more workers, each run a process of its own, its start included."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from app import DEMO
from tests.bench.results import Row, row

FILES = 16
"""Copies of the demo clip, without encoding: enough that starting up does not count."""


def measure(repeats: int, files: int = FILES) -> list[Row]:
    """Seconds of the whole folder, and how many times faster it is than with one worker."""
    counts = sorted({1, 2, os.cpu_count() or 1})
    times: dict[int, list[float]] = {count: [] for count in counts}
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder) / "videos"
        videos.mkdir()
        for n in range(files):
            shutil.copyfile(DEMO, videos / f"{n}.mp4")
        for _ in range(repeats):
            # In turn, so that a slow minute of the machine meets all of them.
            for count in counts:
                words = ["scan", str(videos), "--no-save", "--project", folder, "--workers", str(count)]
                began = time.perf_counter()
                subprocess.run([sys.executable, "-m", "app", *words], check=True, capture_output=True)
                times[count].append(time.perf_counter() - began)
    rates = {count: [files / seconds for seconds in taken] for count, taken in times.items()}
    base = sorted(rates[1])[len(rates[1]) // 2]
    return [
        row("workers", f"{count} worker{'s' if count > 1 else ''}", rates[count], "files/s", base, "one worker")
        for count in counts
    ]
