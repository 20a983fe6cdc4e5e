"""How a model stands pictures that were compressed, shrunk or blurred before anyone looked at them.

A degradation acts on the whole picture, before the crop, and the box goes with it: so pictures reach the app in life.
The box is the one found in the picture as it was; how the detector itself fares is not measured here.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.core.cards import ModelCard, Preprocessing
from app.core.crops import measure_quality
from app.core.files import whole_file
from app.core.records import Box, Detection, ImageU8, Quality
from app.core.scoring import why_not_judged
from app.models.runtimes import Classifier
from app.models.views import Views, score_views, views_of
from train import metrics
from train.calibrate import apply
from train.datasets import Sample, relative
from train.degrade import h264, jpeg
from train.evaluate import CHUNK, plain
from train.metrics import Estimate, Floats
from train.pipeline import read_picture

Picture = tuple[ImageU8, Box]
Degrade = Callable[[Sequence[Picture]], list[Picture]]

AS_IT_IS = "as it is"
"""Name of the condition that all others are compared with."""
MOST_AUC_LOST = 0.03
"""What a degradation of everyday strength may cost."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One degradation at one strength.

    Attributes:
        kind: "JPEG quality", "scale", "blur sigma", "H.264 crf"; others stand alone.
        level: its strength, in the unit that ``kind`` says; None for a condition that stands alone.
        everyday: whether it is one that a detector must stand.
    """

    kind: str
    level: float | None
    degrade: Degrade
    everyday: bool = False

    @property
    def name(self) -> str:
        return self.kind if self.level is None else f"{self.kind} {self.level:g}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one condition did to the scores of a split.

    Attributes:
        auc: with its interval.
        auc_lost: AUC as it is minus AUC under the condition, on the same pictures, with its paired interval.
        tpr_at_1_fpr: under the condition, at the threshold that gives 1 % false alarms under it.
        false_alarms: real pictures called AI-GENERATED at the card's threshold.
        fakes_flagged: generated pictures called so.
        judged: pictures that pass the card's quality gates; the app says CAN'T TELL of the others.
        judged_false_alarms: false alarms among those.
    """

    condition: Condition
    auc: Estimate
    auc_lost: Estimate
    tpr_at_1_fpr: float
    false_alarms: Estimate
    fakes_flagged: Estimate
    judged: Estimate
    judged_false_alarms: Estimate

    def as_json(self) -> dict[str, Any]:
        """Numbers as [value, low, high]."""
        names = ("auc", "auc_lost", "false_alarms", "fakes_flagged", "judged", "judged_false_alarms")
        numbers = {n: [None if np.isnan(v) else round(v, 5) for v in getattr(self, n)] for n in names}
        return {
            "condition": self.condition.name,
            "kind": self.condition.kind,
            "level": self.condition.level,
            **numbers,
            "tpr_at_1_fpr": round(self.tpr_at_1_fpr, 5),
        }


@dataclass(frozen=True, slots=True)
class Degraded:
    """Scores under one condition, in the order of the samples.

    Attributes:
        logits: raw, float64 (N,).
        qualities: what the app measures of each crop before it judges it.
    """

    condition: Condition
    logits: Floats
    qualities: Sequence[Quality]


def shrunk(pictures: Sequence[Picture], factor: float) -> list[Picture]:
    """Pictures at ``factor``, in (0, 1], of their size, by area averaging; their boxes with them."""
    out = []
    for image, box in pictures:
        height, width = image.shape[:2]
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        sx, sy = size[0] / width, size[1] / height
        out.append((np.asarray(small, np.uint8), Box(box.x0 * sx, box.y0 * sy, box.x1 * sx, box.y1 * sy)))
    return out


def compressed(pictures: Sequence[Picture], quality: int) -> list[Picture]:
    """Pictures after JPEG at ``quality``, [1, 100]."""
    return [(jpeg(image, quality), box) for image, box in pictures]


def blurred(pictures: Sequence[Picture], sigma: float) -> list[Picture]:
    """Pictures after a Gaussian blur of ``sigma`` pixels, > 0."""
    return [(np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8), box) for image, box in pictures]


def filmed(pictures: Sequence[Picture], crf: int) -> list[Picture]:
    """Pictures after H.264 at the rate factor ``crf``, [0, 51], one call of ffmpeg for all."""
    images = h264([image for image, _ in pictures], crf)
    return [(image, box) for image, (_, box) in zip(images, pictures, strict=True)]


def halved_and_compressed(pictures: Sequence[Picture]) -> list[Picture]:
    """Pictures at half their size, then JPEG 50: what a messenger does."""
    return compressed(shrunk(pictures, 0.5), 50)


def _unchanged(pictures: Sequence[Picture]) -> list[Picture]:
    return list(pictures)


CONDITIONS: tuple[Condition, ...] = (
    Condition(AS_IT_IS, None, _unchanged),
    *(Condition("JPEG quality", q, partial(compressed, quality=q)) for q in (95, 85, 75, 65, 50, 35, 20)),
    *(Condition("scale", f, partial(shrunk, factor=f)) for f in (0.75, 0.5, 0.35, 0.25)),
    *(Condition("blur sigma", s, partial(blurred, sigma=s)) for s in (0.5, 1.0, 1.5, 2.0, 3.0)),
    *(Condition("H.264 crf", c, partial(filmed, crf=c), everyday=c == 28) for c in (18, 23, 28, 34, 40)),
    Condition("JPEG 50 and half size", None, halved_and_compressed, everyday=True),
)


def score(
    classifier: Classifier,
    samples: Sequence[Sample],
    card: ModelCard,
    table: Path,
    root: Path,
    conditions: Sequence[Condition] = CONDITIONS,
) -> list[Degraded]:
    """Score samples under every condition, with a progress bar.

    Args:
        table: ``robustness-scores.csv``, written after every condition. Conditions that it holds already, of the same
            model and the same pictures, are not scored again.
        root: what the paths in it are relative to.

    Raises:
        UnmaskError: the table cannot be written.
    """
    model = "-".join(card.files[key].sha256[:12] for key in sorted(card.files)) + f" {classifier.device}"
    paths = [relative(s.path, root) for s in samples]
    known = _read(table, model, paths)
    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    results: list[Degraded] = []
    with bar:
        task = bar.add_task("", total=len(conditions) * len(samples))
        for condition in conditions:
            bar.update(task, description=condition.name)
            if condition.name in known:
                results.append(Degraded(condition, *known[condition.name]))
                bar.advance(task, len(samples))
                continue
            logits: list[npt.NDArray[np.float32]] = []
            qualities: list[Quality] = []
            for start in range(0, len(samples), CHUNK):
                chosen = samples[start : start + CHUNK]
                views, measured = _views(chosen, card.preprocessing, condition.degrade)
                logits.append(score_views(classifier, views, card.preprocessing).logits)
                qualities += measured
                bar.advance(task, len(chosen))
            results.append(Degraded(condition, np.concatenate(logits).astype(np.float64), qualities))
            _write(table, model, results, samples, paths)
    return results


def outcomes(
    results: Sequence[Degraded],
    targets: npt.NDArray[np.int64],
    card: ModelCard,
    *,
    resamples: int = metrics.RESAMPLES,
    seed: int = 0,
) -> list[Outcome]:
    """What each condition did, against :data:`AS_IT_IS`, which must be among ``results``.

    Args:
        targets: (N,), 1 = fake, in the order of the scores.
    """
    clean = next(r for r in results if r.condition.kind == AS_IT_IS)
    auc_clean = metrics.auc(targets, clean.logits)
    found = []
    for result in results:
        lost = metrics.auc_gains(targets, clean.logits, result.logits, resamples=resamples, seed=seed)
        flagged = apply(card.calibration, result.logits) >= card.thresholds.fake
        judged = np.asarray([why_not_judged(q, card.thresholds) is None for q in result.qualities], bool)
        auc = metrics.auc_estimate(targets, result.logits, resamples=resamples, seed=seed)
        found.append(
            Outcome(
                result.condition,
                auc,
                Estimate(auc_clean - auc.value, *metrics.middle(lost)),
                metrics.tpr_at_fpr(targets, result.logits, 0.01),
                metrics.share(flagged[targets == 0]),
                metrics.share(flagged[targets == 1]),
                metrics.share(judged),
                metrics.share(flagged[(targets == 0) & judged]),
            )
        )
    return found


def print_outcomes(found: Sequence[Outcome]) -> None:
    """Print the curves as a table, for people."""
    head = ("AUC", "AUC lost", "TPR at 1 % FPR", "real flagged", "fakes flagged", "judged")
    print(f"\n{'degradation':<22}", *(f"{h:>24}" for h in head[:2]), *(f"{h:>15}" for h in head[2:]))
    for o in found:
        intervals = (f"{e.value:.4f} [{e.low:.3f}, {e.high:.3f}]" for e in (o.auc, o.auc_lost))
        shares = (o.tpr_at_1_fpr, o.false_alarms.value, o.fakes_flagged.value, o.judged.value)
        print(
            f"{plain(o.condition.name):<22}", *(f"{t:>24}" for t in intervals), *(f"{s * 100:>13.1f} %" for s in shares)
        )


def _views(samples: Sequence[Sample], how: Preprocessing, degrade: Degrade) -> tuple[list[Views], list[Quality]]:
    """The app's views of degraded samples, and their quality as the app measures it."""
    pictures: list[Picture] = []
    for sample in samples:
        assert sample.box is not None
        pictures.append((read_picture(sample), sample.box))
    views: list[Views] = []
    qualities = []
    for sample, (image, box) in zip(samples, degrade(pictures), strict=True):
        views.append(views_of(image, box, how))
        # The key points are those of the picture as it was: they only serve the yaw, which no scaling changes.
        face = Detection(box, 1.0, sample.keypoints if len(sample.keypoints) == 6 else ())
        qualities.append(measure_quality(views[-1][0], face))
    return views, qualities


_MEASURED = ("size_px", "sharpness", "brightness", "yaw")


def _write(
    path: Path, model: str, results: Sequence[Degraded], samples: Sequence[Sample], paths: Sequence[str]
) -> None:
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("condition", "path", "label", "source", "logit", *_MEASURED, "model"))
        for result in results:
            for s, where, logit, q in zip(samples, paths, result.logits, result.qualities, strict=True):
                measured = (f"{getattr(q, name):.4f}" for name in _MEASURED)
                writer.writerow((result.condition.name, where, s.label, s.source, f"{logit:.6f}", *measured, model))


def _read(path: Path, model: str, paths: Sequence[str]) -> dict[str, tuple[Floats, list[Quality]]]:
    """What an earlier run scored: logits and qualities by condition, of this model and these pictures only."""
    found: dict[str, tuple[list[str], list[float], list[Quality]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["model"] == model:
                    names, logits, qualities = found.setdefault(row["condition"], ([], [], []))
                    names.append(row["path"])
                    logits.append(float(row["logit"]))
                    qualities.append(Quality(*(float(row[name]) for name in _MEASURED)))
    except (OSError, KeyError, ValueError, TypeError):
        return {}
    return {c: (np.asarray(logits), q) for c, (names, logits, q) in found.items() if names == list(paths)}
