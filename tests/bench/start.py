"""How long the program takes to stand, in processes of its own; the window's own start is in tests.bench.window."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.bench.results import Row, row
from tests.bench.stages import SIZES, make_clip

BASE = "python alone"


def measure(repeats: int) -> list[Row]:
    """Wall and CPU seconds of the headless verbs, against Python that does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "clip.mp4", SIZES["480p"], 1, 0.08)
        verbs = {
            BASE: ["-c", "pass"],
            "--help": ["-m", "app", "--help"],
            "models": ["-m", "app", "models"],
            "scan of two frames": ["-m", "app", "scan", str(clip), "--project", folder],
        }
        rows: list[Row] = []
        base = 0.0
        for name, words in verbs.items():
            wall, cpu = zip(*(_timed(words) for _ in range(repeats + 1)), strict=True)
            base = base or float(np.median(wall[1:]))
            note = f"CPU {np.median(cpu[1:]):.2f} s"
            rows.append(row("start", name, wall[1:], "s", None if name == BASE else base, BASE, note))
    return rows


def _timed(words: list[str]) -> tuple[float, float]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, used
