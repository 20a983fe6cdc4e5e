"""``python -m tests.bench.live [--real]``: how old frames are when their analysis begins, and rates.

A fake 120 ms classifier on a 30 fps source; with ``--real`` the demo clip over and over, judged by one and by both of
the shipped models.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app import DEMO
from app.core.cards import ModelCard
from app.core.records import Frame
from app.models.artifact import DEFAULT_MODEL, load_ensemble, read_card, read_consensus
from app.pipeline.batch import Models
from app.pipeline.live import LiveEngine, LiveState
from app.vision.analyzer import AnalyzerOptions
from app.vision.detector import MediaPipeDetector
from app.vision.sources import FileSource, FrameSource
from tests.bench.results import Row, row
from tests.bench.stages import SIZES, make_clip
from tests.engine.support import Camera, models_of

FPS, CLASSIFIER_S = 30.0, 0.12
OPTIONS = AnalyzerOptions(score_interval_s=0.0, max_scores_per_frame=4)
BOTH = (DEFAULT_MODEL, "unmask-mobilenet_v2")


@dataclass(frozen=True, slots=True)
class Rates:
    """Medians over a session: seconds, and times a second."""

    age_s: float
    shown: float
    analysed: float
    scores: float


class Loop:
    """A clip over and over at 30 frames a second, as one stream that does not end."""

    def __init__(self, clip: Path = DEMO) -> None:
        self.name, self.fps = f"{clip.stem}, over and over", FPS
        self.frame_count: int | None = None
        self._clip, self._file = clip, FileSource(clip)
        self.width, self.height = self._file.width, self._file.height
        self._read = 0
        self._began = time.monotonic()

    def read(self) -> Frame | None:
        frame = self._file.read()
        if frame is None:
            self._file.close()
            self._file = FileSource(self._clip)
            frame = self._file.read()
        assert frame is not None
        time.sleep(max(0.0, self._began + self._read / FPS - time.monotonic()))
        frame = replace(frame, index=self._read, time_s=self._read / FPS)
        self._read += 1
        return frame

    def skip(self, count: int) -> int:
        return 0

    def close(self) -> None:
        self._file.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--real", action="store_true", help="the demo clip and the shipped models too")
    args = parser.parse_args()
    measure_newest_frame(args.seconds)
    if args.real:
        for names in (BOTH[:1], BOTH):
            measure_real(names, args.seconds)


def rows(seconds: float, repeats: int) -> list[Row]:
    """The age of frames, and what a second model costs: less scores, never less pictures."""
    ages = [measure_newest_frame(seconds).age_s for _ in range(repeats)]
    found = [row("live", "age of a frame when its analysis begins", ages, "s", 1 / FPS, "frame interval")]
    one: list[Rates] = []
    two: list[Rates] = []
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "four.mp4", SIZES["720p"], 4, 8)
        for _ in range(repeats):  # In turn, so that a slow minute of the machine meets both.
            one.append(measure_real(BOTH[:1], seconds, clip))
            two.append(measure_real(BOTH, seconds, clip))
    for what, unit in (("shown", "frames/s"), ("analysed", "frames/s"), ("scores", "faces/s"), ("age_s", "s")):
        label = what.removesuffix("_s")
        alone, together = ([getattr(rates, what) for rates in rates_of] for rates_of in (one, two))
        base = FPS if what in ("shown", "analysed") else 1 / FPS if what == "age_s" else None
        of = "the source" if what in ("shown", "analysed") else "frame interval"
        first = row("live", f"four faces, one model: {label}", alone, unit, base, of if base else "")
        found += [first, row("live", f"four faces, two models: {label}", together, unit, first.value, "one model")]
    return found


def measure_real(names: Sequence[str], seconds: float, clip: Path = DEMO) -> Rates:
    label = f"{clip.stem} over and over, {' and '.join(names)}"
    return measure(label, lambda: Loop(clip), lambda: real_models(names), OPTIONS, seconds, live=True)


def measure_newest_frame(seconds: float = 10.0) -> Rates:
    """A classifier slower than the source: how old frames are when their turn comes."""
    card = _all_pass(read_card(DEFAULT_MODEL))
    return measure(
        f"fake {CLASSIFIER_S * 1000:.0f} ms classifier, {FPS:g} fps, 640x480",
        lambda: Camera(fps=FPS, width=640, height=480),
        lambda: models_of(card, sleep_s=CLASSIFIER_S),
        OPTIONS,
        seconds,
        live=True,
    )


def measure(
    label: str,
    source: Callable[[], FrameSource],
    models: Callable[[], Models],
    options: AnalyzerOptions,
    seconds: float,
    *,
    live: bool,
) -> Rates:
    """Run an engine, print its figures and return them."""
    engine = LiveEngine(source, models, options, live=live)
    started = time.monotonic()
    engine.start()
    while engine.latest_result() is None and engine.state is not LiveState.FAILED:
        time.sleep(0.005)
    first_s = time.monotonic() - started
    samples = []
    memory: list[tuple[float, float]] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.25)
        if engine.state is LiveState.RUNNING:
            samples.append(engine.stats())
            memory.append((time.monotonic() - started, memory_mb()))
    engine.stop()
    gone = engine.join(5)
    samples = samples[4:] or samples
    age = statistics.median(s.inference_age_s for s in samples)
    shown, analysed, scores, result_age = (
        statistics.median(values)
        for values in zip(*((s.shown_fps, s.scored_fps, s.score_rate, s.age_s) for s in samples), strict=True)
    )
    print(
        f"{label}: first result after {first_s:.2f} s; age when inference starts {age * 1000:.1f} ms "
        f"({age * FPS:.2f} intervals of {1000 / FPS:.0f} ms); shown {shown:.1f} fps, "
        f"analysed {analysed:.1f} fps, {scores:.1f} face scores/s, dropped {samples[-1].dropped}; "
        f"result age {result_age * 1000:.0f} ms; threads gone: {gone}"
    )
    if seconds >= 120:
        early = statistics.median(mb for at, mb in memory if at <= 60)
        late = statistics.median(mb for at, mb in memory if at >= seconds - 60)
        print(f"  memory: {early:.0f} MB in the first minute, {late:.0f} MB in the last ({late / early:.3f})")
    return Rates(age, shown, analysed, scores)


def memory_mb() -> float:
    """Resident memory of this process, from Linux; 0 elsewhere."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _all_pass(card: ModelCard) -> ModelCard:
    gates = {"min_size_px": 1.0, "min_sharpness": 0.0, "min_brightness": 0.0, "max_brightness": 255.0, "max_yaw": 1.0}
    return card.model_copy(update={"thresholds": card.thresholds.model_copy(update=gates)})


def real_models(names: Sequence[str] = (DEFAULT_MODEL,)) -> Models:
    """Shipped models on the CPU."""
    return Models(MediaPipeDetector(), load_ensemble(read_consensus(names), "cpu"))


if __name__ == "__main__":
    main()
