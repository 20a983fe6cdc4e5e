"""``python -m tests.bench``: speed as ratios within one run, on the demo clip and the shipped model.

Prints a table; nothing here asserts on seconds. Close other programs first: the machine's noise is in the spread.
"""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from app.cli import DEMO
from app.core.crops import crop_face
from app.core.records import ImageU8
from app.models.artifact import DEFAULT_MODEL, load_classifier, read_card, verified_path
from app.pipeline.batch import Models, ScanOptions, scan
from app.pipeline.run import write_outputs
from app.vision.detector import MediaPipeDetector
from app.vision.sources import FileSource

REPEATS = 3


def main() -> None:
    card = read_card(DEFAULT_MODEL)
    print(f"{datetime.now(UTC).date()}, {_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"model {card.name}, CPU form {card.cpu_form}, {card.preprocessing.size} px; demo clip {DEMO.name}\n")
    with Models(MediaPipeDetector(), load_classifier(card, "cpu"), card) as models:
        _scans(models)
        _scoring(models, _demo_crops(models))


def _scans(models: Models) -> None:
    """The whole scan against the clip's own length, report included, models loaded."""
    print(f"{'scan of the demo clip':<44} {'seconds':>8} {'spread':>13} {'x real time':>12} {'scored faces/s':>15}")
    for label, save in (("annotated video, tables, report", True), ("--no-save: tables, report", False)):
        times: list[float] = []
        for _ in range(REPEATS + 1):
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                report = scan(str(DEMO), Path(folder), models, ScanOptions(save=save))
                write_outputs(Path(folder), report)
                times.append(time.perf_counter() - started)
        middle, spread = _middle(times[1:])
        scored = sum(t.scored for t in report.tracks)
        print(f"{label:<44} {middle:8.2f} {spread:>13} {report.duration_s / middle:12.2f} {scored / middle:15.1f}")
    print()


def _scoring(models: Models, crops: ImageU8) -> None:
    """Scored faces a second: the app's classifier against Keras predict, one face a call, as notebooks do."""
    import keras

    model = keras.saving.load_model(verified_path(models.card, "keras"), compile=False, safe_mode=True)
    few = crops[:24]
    cases: list[tuple[str, Callable[[], object], int]] = [
        ("Keras predict, one face a call", lambda: [model.predict(c[None], verbose=0) for c in few], len(few)),
        (
            f"{models.classifier.device}, one face a call",
            lambda: [models.classifier.score(c[None]) for c in crops],
            len(crops),
        ),
        (f"{models.classifier.device}, four faces a call", lambda: models.classifier.score(crops), len(crops)),
    ]
    print(f"{'scoring':<44} {'faces/s':>8} {'spread':>13} {'x predict':>12}")
    rates: dict[str, list[float]] = {label: [] for label, _, _ in cases}
    for turn in range(REPEATS + 1):  # in turn, so that a slow minute of the machine meets all of them
        for label, call, count in cases:
            started = time.perf_counter()
            call()
            if turn:
                rates[label].append(count / (time.perf_counter() - started))
    base = statistics.median(rates[cases[0][0]])
    for label, values in rates.items():
        middle, spread = _middle(values)
        print(f"{label:<44} {middle:8.1f} {spread:>13} {middle / base:12.1f}")


def _demo_crops(models: Models, count: int = 64) -> ImageU8:
    crops: list[ImageU8] = []
    with FileSource(DEMO) as source:
        for frame in source:
            for face in models.detector.detect(frame.image):
                size, scale = models.card.preprocessing.size, models.card.preprocessing.crop_scale
                crops.append(crop_face(frame.image, face.box, size, scale))
            if len(crops) >= count:
                break
    return np.stack(crops[:count])


def _middle(values: list[float]) -> tuple[float, str]:
    return statistics.median(values), f"{min(values):.2f}-{max(values):.2f}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
