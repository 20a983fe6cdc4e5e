"""Measures of a detector; scores are logits or probabilities of "fake", targets 1 = fake."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

Floats = npt.NDArray[np.floating]


def auc(targets: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the ROC curve, [0, 1]; NaN where one class is missing."""
    targets = np.asarray(targets)
    if targets.min(initial=1) == targets.max(initial=0):
        return float("nan")
    return float(roc_auc_score(targets, np.asarray(scores)))


def accuracy(targets: npt.ArrayLike, logits: npt.ArrayLike, threshold: float = 0.0) -> float:
    """Share of pictures on the right side of ``threshold`` (a logit), [0, 1]."""
    return float(np.mean((np.asarray(logits) > threshold) == (np.asarray(targets) > 0.5)))


def tpr_at_fpr(targets: npt.ArrayLike, scores: npt.ArrayLike, fpr: float) -> float:
    """Share of fakes above the least threshold that at most ``fpr`` of the real pictures exceed."""
    targets, scores = np.asarray(targets), np.asarray(scores)
    threshold = threshold_at_fpr(scores[targets == 0], fpr)
    return float(np.mean(scores[targets == 1] > threshold))


def threshold_at_fpr(real_scores: npt.ArrayLike, fpr: float) -> float:
    """The least score that at most a share ``fpr`` of ``real_scores`` exceeds."""
    ordered = np.sort(np.asarray(real_scores, np.float64))[::-1]
    return float(ordered[min(int(fpr * ordered.size), ordered.size - 1)])


def expected_calibration_error(targets: npt.ArrayLike, p_fake: npt.ArrayLike, bins: int = 10) -> float:
    """ECE over equal-width bins (Guo et al., ICML 2017), [0, 1]."""
    targets, p = np.asarray(targets, np.float64), np.asarray(p_fake, np.float64)
    index = np.minimum((p * bins).astype(int), bins - 1)
    error = 0.0
    for b in range(bins):
        inside = index == b
        if inside.any():
            error += inside.mean() * abs(p[inside].mean() - targets[inside].mean())
    return float(error)
