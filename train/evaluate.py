"""Measures of an exported model on a split, through the app's own crop and runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.core.cards import ModelCard
from app.core.records import ImageU8
from app.models.runtimes import Classifier
from train import metrics
from train.calibrate import apply
from train.datasets import Sample
from train.pipeline import plain_crops

Row = dict[str, float | int | None]
Floats = npt.NDArray[np.float64]


def raw_logits(classifier: Classifier, samples: Sequence[Sample], size: int, scale: float) -> Floats:
    """Raw logits of samples, float64 (N,), a few hundred crops in memory at a time."""
    parts = [
        classifier.score(plain_crops(samples[i : i + 256], size, scale)).logits for i in range(0, len(samples), 256)
    ]
    return np.concatenate(parts).astype(np.float64) if parts else np.empty(0)


def evaluate(samples: Sequence[Sample], logits: Floats, card: ModelCard) -> dict[str, Row]:
    """Every measure: of the whole, of its part from the 140k set, and by source.

    A generator's AUC is that of its fakes against all real pictures of the split.

    Args:
        samples: one split.
        logits: raw, in the order of ``samples``.
    """
    targets = np.asarray([s.target for s in samples])
    p = apply(card.calibration, logits)
    sources = np.asarray([s.source for s in samples])
    table = {"all": _measures(targets, p, card)}
    inside = np.char.find(sources.astype(str), "140k") >= 0
    if inside.any():
        table["140k part"] = _measures(targets[inside], p[inside], card)
    for source in sorted(set(sources[targets == 1])):
        chosen = (sources == source) & (targets == 1)
        against = chosen | (targets == 0)
        table[f"fake: {source}"] = {
            "pictures": int(chosen.sum()),
            "auc": round(metrics.auc(targets[against], p[against]), 4),
            "called_fake": _share(p[chosen] >= card.thresholds.fake),
            "called_real": _share(p[chosen] <= card.thresholds.real),
        }
    for source in sorted(set(sources[targets == 0])):
        chosen = (sources == source) & (targets == 0)
        table[f"real: {source}"] = {
            "pictures": int(chosen.sum()),
            "called_fake": _share(p[chosen] >= card.thresholds.fake),
            "called_real": _share(p[chosen] <= card.thresholds.real),
        }
    return table


def crops_of(samples: Sequence[Sample], card: ModelCard) -> ImageU8:
    """The app's crops of samples."""
    return plain_crops(samples, card.preprocessing.size, card.preprocessing.crop_scale)


def print_table(table: dict[str, Row], title: str) -> None:
    """Print measures as aligned columns."""
    columns = list(dict.fromkeys(key for row in table.values() for key in row))
    width = max(len(name) for name in table)
    print(title)
    print(" " * width, *(f"{c:>12}" for c in columns))
    for name, row in table.items():
        print(f"{name:<{width}}", *(f"{_cell(row.get(c)):>12}" for c in columns))


def _measures(targets: npt.NDArray[Any], p: Floats, card: ModelCard) -> Row:
    real, fake = targets == 0, targets == 1
    return {
        "pictures": int(targets.size),
        "auc": round(metrics.auc(targets, p), 4),
        "accuracy": _share((p > 0.5) == fake),
        "tpr_at_1_fpr": round(metrics.tpr_at_fpr(targets, p, 0.01), 4),
        "ece": round(metrics.expected_calibration_error(targets, p), 4),
        "false_alarms": _share(p[real] >= card.thresholds.fake),
        "fakes_flagged": _share(p[fake] >= card.thresholds.fake),
        "fakes_as_real": _share(p[fake] <= card.thresholds.real),
    }


def _share(hits: npt.NDArray[np.bool_]) -> float | None:
    return round(float(np.mean(hits)), 4) if hits.size else None


def _cell(value: float | int | None) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
