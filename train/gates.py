"""Quality gates from pictures: the least size, sharpness and brightness at which a model keeps its promise.

Validation pictures are made worse step by step, each to the very size, sharpness or brightness that the app itself
would measure (:func:`app.core.crops.measure_quality`), then cropped and scored as the app does. A gate stands at the
last step, from good to bad, before the promise is broken: more than 1 % of the real faces called AI-GENERATED, and more
than chance explains; or an AUC far below that of the same pictures as they are. Faces cannot be turned afterwards: that
gate needs turned faces among the pictures, and stays at a value set by hand where there are too few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from scipy import stats

from app.core.cards import Calibration, Preprocessing
from app.core.crops import crop_face, measure_quality, square_around
from app.core.records import Box, Detection, ImageU8, Quality
from app.models.runtimes import Classifier
from app.models.views import Views, score_views, views_of
from train import metrics
from train.calibrate import FALSE_ALARMS, Gates, apply
from train.datasets import Sample
from train.degrade import jpeg
from train.metrics import Estimate, Floats
from train.pipeline import read_picture

MOST_AUC_LOST = 0.05
"""What the AUC may lose on the way to a gate."""
SIGNIFICANT = 0.05
"""False alarms break the promise where 1 % would give so many with a smaller probability than this (one-sided)."""
LEAST_REAL, LEAST_FAKE = 100, 20
"""Real and generated faces that a step needs: fewer cannot show a share of 1 %."""
CHUNK = 64
"""Pictures in memory at a time."""

OFF = 0.1
"""A face made worse may miss the value by this share of it."""
_SEARCH = 112
"""Side of the copies on which the right blur is sought: that on which sharpness is measured."""

Indices = npt.NDArray[np.int64]

Worse = Callable[[ImageU8, Detection, Preprocessing, float], tuple[ImageU8, Detection]]


@dataclass(frozen=True, slots=True)
class Ladder:
    """One kind of degradation, step by step.

    Attributes:
        gate: the field of :class:`train.calibrate.Gates` that it fits.
        words: what is measured, for people.
        steps: values of the measure, from good to bad.
        measure: the value of a face.
        worse: a picture and its face, made so that the measure is the value given.
    """

    gate: str
    words: str
    steps: tuple[float, ...]
    measure: Callable[[Quality], float]
    worse: Worse


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of a ladder did.

    Attributes:
        value: of the measure; ``real`` and ``fake``: faces that were made so bad, or were so by themselves.
        false_alarms: share of real faces called AI-GENERATED.
        auc, auc_before: of these faces, and of the same faces as they are.
        kept: whether the promise holds.
    """

    value: float
    real: int
    fake: int
    false_alarms: Estimate
    auc: float
    auc_before: float
    kept: bool


def smaller(image: ImageU8, face: Detection, _: Preprocessing, size_px: float) -> tuple[ImageU8, Detection]:
    """The picture shrunk until the shorter side of the face's box is ``size_px``, then JPEG 75.

    Small faces seldom come uncompressed, and compression takes more from them than from large ones.
    """
    factor = size_px / face.box.size
    height, width = image.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    sx, sy = size[0] / width, size[1] / height
    b = face.box
    points = tuple((x * sx, y * sy) for x, y in face.keypoints)
    return jpeg(np.asarray(small, np.uint8), 75), Detection(
        Box(b.x0 * sx, b.y0 * sy, b.x1 * sx, b.y1 * sy), 1.0, points
    )


def blurrier(image: ImageU8, face: Detection, crop: Preprocessing, sharpness: float) -> tuple[ImageU8, Detection]:
    """The picture under the Gaussian blur that brings the crop down to ``sharpness``."""
    cut = crop_face(image, face.box, crop.size, crop.crop_scale)
    small = np.asarray(cv2.resize(cut, (_SEARCH, _SEARCH), interpolation=cv2.INTER_AREA), np.uint8)

    def small_too_sharp(sigma: float) -> bool:
        return measure_quality(_blurred(small, sigma), face).sharpness > sharpness

    def too_sharp(sigma: float) -> bool:
        return _looked_at(_blurred(image, sigma), face, crop)[1].sharpness > sharpness

    # Sought on a small copy first, which is much faster.
    about = _bisected(0.1, 30.0, small_too_sharp) * square_around(face.box, crop.crop_scale)[2] / _SEARCH
    return _blurred(image, _bisected(about / 2, about * 4, too_sharp, within=1.05)), face


def darker(image: ImageU8, face: Detection, crop: Preprocessing, brightness: float) -> tuple[ImageU8, Detection]:
    """The picture at the shorter exposure that brings the crop's mean grey level down to ``brightness``."""
    mean = _looked_at(image, face, crop)[1].brightness
    return _exposed(image, brightness / max(mean, 1.0)), face


def brighter(image: ImageU8, face: Detection, crop: Preprocessing, brightness: float) -> tuple[ImageU8, Detection]:
    """The picture at the longer exposure, clipped, that brings the crop's mean grey level up to ``brightness``."""

    def too_dark(gain: float) -> bool:
        return _looked_at(_exposed(image, gain), face, crop)[1].brightness < brightness

    return _exposed(image, _bisected(1.0, 64.0, too_dark)), face


LADDERS = (
    Ladder("min_size_px", "size", (128, 96, 80, 64, 56, 48, 40, 32), lambda q: q.size_px, smaller),
    Ladder(
        "min_sharpness",
        "sharpness",
        (0.3, 0.25, 0.2, 0.16, 0.13, 0.1, 0.08),
        lambda q: q.sharpness,
        blurrier,
    ),
    Ladder("min_brightness", "brightness", (80, 60, 50, 40, 30, 22), lambda q: q.brightness, darker),
    Ladder(
        "max_brightness", "brightness at most", (150, 165, 180, 195, 210, 225, 235), lambda q: q.brightness, brighter
    ),
)
YAW_STEPS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


class Fitting:
    """Fits the gates of one model.

    Args:
        classifier: the model.
        samples: of the validation split, with boxes.
        crop: how the model's input is cut.
        calibration: of its logits.
        fake: probability from which a face is called AI-GENERATED.
        ladders: what is tried.
    """

    def __init__(
        self,
        classifier: Classifier,
        samples: Sequence[Sample],
        crop: Preprocessing,
        calibration: Calibration,
        fake: float,
        ladders: Sequence[Ladder] = LADDERS,
    ) -> None:
        self._classifier = classifier
        self._samples = samples
        self._crop = crop
        self._calibration = calibration
        self._fake = fake
        self._ladders = ladders
        self._targets = np.asarray([s.target for s in samples])
        self.steps: dict[str, list[Step]] = {}
        """What was measured, by gate."""

    def fit(self) -> Gates:
        """Walk every ladder, with a progress bar; the gates, and in words how they came about."""
        by_hand = Gates()
        values: dict[str, float] = {}
        notes = []
        bar = Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with bar:
            task = bar.add_task("quality gates: faces as they are", total=len(self._samples))
            qualities, before = self._as_they_are(lambda n: bar.advance(task, n))
            for ladder in self._ladders:
                steps = self.steps[ladder.gate] = self._walk(ladder, qualities, before, bar)
                kept = [step.value for step in steps if step.kept]
                if not steps:
                    values[ladder.gate] = getattr(by_hand, ladder.gate)
                    notes.append(f"{ladder.words} by hand, too few faces")
                    continue
                values[ladder.gate] = kept[-1] if kept else steps[0].value
                note = f"{ladder.words} {values[ladder.gate]:g}"
                notes.append(
                    note + (" (not kept even there)" if not kept else " (no further tried)" if steps[-1].kept else "")
                )
        values["max_yaw"], note = self._turned(np.asarray([q.yaw for q in qualities]), before, by_hand.max_yaw)
        real = int(np.sum(self._targets == 0))
        tried = (
            f"fitted on {real} real and {len(self._targets) - real} generated validation faces made worse in steps, "
            f"false alarms not significantly above {FALSE_ALARMS:.0%}, at most {MOST_AUC_LOST} of AUC lost"
        )
        return Gates(**values, chosen=f"{tried}: {', '.join(notes)}; {note}")

    def _as_they_are(self, advance: Callable[[int], None]) -> tuple[list[Quality], Floats]:
        qualities: list[Quality] = []
        logits = []
        for start in range(0, len(self._samples), CHUNK):
            chosen = self._samples[start : start + CHUNK]
            seen = [_looked_at(read_picture(s), face_of(s), self._crop) for s in chosen]
            qualities += [quality for _, quality in seen]
            logits.append(score_views(self._classifier, [views for views, _ in seen], self._crop).logits)
            advance(len(chosen))
        return qualities, np.concatenate(logits).astype(np.float64)

    def _walk(self, ladder: Ladder, qualities: Sequence[Quality], before: Floats, bar: Progress) -> list[Step]:
        """Steps from good to bad, up to the first that breaks the promise."""
        falling = ladder.steps[0] > ladder.steps[-1]
        now = np.asarray([ladder.measure(q) for q in qualities])
        steps: list[Step] = []
        for value in ladder.steps:
            # A face that is worse already cannot be made this good.
            chosen = np.flatnonzero(now >= value if falling else now <= value)
            if not self._enough(chosen):
                continue
            task = bar.add_task(f"{ladder.words} {value:g}", total=len(chosen))
            logits: list[npt.NDArray[np.float32]] = []
            reached: list[int] = []
            for start in range(0, len(chosen), CHUNK):
                made = {int(i): self._worse(ladder, int(i), value) for i in chosen[start : start + CHUNK]}
                views = {i: v for i, v in made.items() if v is not None}
                reached += views
                logits.append(score_views(self._classifier, list(views.values()), self._crop).logits)
                bar.advance(task, len(made))
            chosen = np.asarray(reached, np.int64)
            if not self._enough(chosen):
                continue
            steps.append(self._step(value, chosen, np.concatenate(logits).astype(np.float64), before))
            if not steps[-1].kept:
                break
        return steps

    def _worse(self, ladder: Ladder, i: int, value: float) -> Views | None:
        """The views of a face made so bad; None where it cannot be (a flat picture has no sharpness to lose)."""
        sample = self._samples[i]
        image, face = ladder.worse(read_picture(sample), face_of(sample), self._crop, value)
        views, quality = _looked_at(image, face, self._crop)
        return views if abs(ladder.measure(quality) / value - 1) <= OFF else None

    def _step(self, value: float, chosen: Indices, logits: Floats, before: Floats) -> Step:
        """``logits`` are those of the ``chosen``, ``before`` those of all faces as they are."""
        targets = self._targets[chosen]
        alarms = metrics.share(apply(self._calibration, logits[targets == 0]) >= self._fake)
        auc, auc_before = metrics.auc(targets, logits), metrics.auc(targets, before[chosen])
        real = int(np.sum(targets == 0))
        # A test, not the bare share: over many steps of a few hundred faces some share is above 1 % by chance alone.
        hits = round(alarms.value * real)
        by_chance = stats.binomtest(hits, real, FALSE_ALARMS, alternative="greater").pvalue
        kept = by_chance >= SIGNIFICANT and auc >= auc_before - MOST_AUC_LOST
        return Step(float(value), real, len(targets) - real, alarms, auc, auc_before, kept)

    def _turned(self, yaw: Floats, before: Floats, by_hand: float) -> tuple[float, str]:
        """The turn from which on the faces that are so turned break the promise, or the value set by hand."""
        steps = self.steps["max_yaw"] = []
        whole = metrics.auc(self._targets, before)
        for value in YAW_STEPS:
            chosen = np.flatnonzero(yaw >= value)
            if not self._enough(chosen):
                break
            step = self._step(value, chosen, before[chosen], before)
            steps.append(replace(step, auc_before=whole, kept=step.kept and step.auc >= whole - MOST_AUC_LOST))
            if not steps[-1].kept:
                return float(value), f"turn {value:g}, where such faces begin to break that"
        if not steps:
            return by_hand, f"turn {by_hand:g} by hand: too few validation faces are turned beyond {YAW_STEPS[0]:g}"
        reached = steps[-1]
        return by_hand, (
            f"turn {by_hand:g} by hand: the {reached.real} real faces beyond {reached.value:g} keep that, "
            "too few are turned further"
        )

    def _enough(self, chosen: Indices) -> bool:
        targets = self._targets[chosen]
        return bool(np.sum(targets == 0) >= LEAST_REAL and np.sum(targets == 1) >= LEAST_FAKE)


def print_steps(steps: dict[str, list[Step]]) -> None:
    """Print what was measured on the way to the gates, for people."""
    print(f"\n{'gate':<15} {'value':>6} {'real':>5} {'fake':>5} {'false alarms':>13} {'AUC':>7} {'before':>7}")
    for gate, walked in steps.items():
        for s in walked:
            numbers = (
                f"{s.real:>5} {s.fake:>5} {s.false_alarms.value * 100:>11.1f} % {s.auc:>7.4f} {s.auc_before:>7.4f}"
            )
            print(f"{gate:<15} {s.value:>6g} {numbers}  {'kept' if s.kept else 'broken'}")


def face_of(sample: Sample) -> Detection:
    """The sample's face as the detector gives it."""
    assert sample.box is not None
    return Detection(sample.box, 1.0, sample.keypoints if len(sample.keypoints) == 6 else ())


def _looked_at(image: ImageU8, face: Detection, crop: Preprocessing) -> tuple[Views, Quality]:
    views = views_of(image, face.box, crop)
    return views, measure_quality(views[0], face)


def _blurred(image: ImageU8, sigma: float) -> ImageU8:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def _exposed(image: ImageU8, gain: float) -> ImageU8:
    levels = np.clip(np.arange(256) * gain + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, levels), np.uint8)


def _bisected(low: float, high: float, too_little: Callable[[float], bool], within: float = 1.03) -> float:
    """The least value, up to the factor ``within``, of a rising function that is enough; ``high`` where none is."""
    while high / low > within:
        middle = (low * high) ** 0.5
        if too_little(middle):
            low = middle
        else:
            high = middle
    return high
