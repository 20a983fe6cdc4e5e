"""Measures of scores against the truth, and their intervals.

Every measure is worked out on counts: how often each picture is drawn. Once each gives the measure itself, a bootstrap
resample gives another value of it; so a thousand resamples are one matrix product and a cumulative sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]

RESAMPLES = 1000
ECE_BINS = 10
_CELLS = 4_000_000
"""Resamples times pictures worked on at once: bounds the memory."""


class Estimate(NamedTuple):
    """A measure and its 95 % interval; NaN where it cannot be worked out."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Roc:
    """Cumulative counts from the highest score down: float64 (B, G + 1), from 0 to all; tied scores are one step.

    Attributes:
        tp: fakes above each of the G thresholds.
        fp: real pictures above it.
    """

    tp: Floats
    fp: Floats

    @property
    def tpr(self) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.tp / self.tp[:, -1:])

    @property
    def fpr(self) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.fp / self.fp[:, -1:])


def roc(targets: npt.ArrayLike, scores: npt.ArrayLike, counts: npt.ArrayLike | None = None) -> Roc:
    """The ROC curve, or one for each row of ``counts``.

    Args:
        targets: (N,), 1 = fake.
        scores: (N,), higher for "fake".
        counts: (B, N), how often each picture is drawn; None draws each once (B = 1).
    """
    y, s = np.asarray(targets, np.float64), np.asarray(scores, np.float64)
    w = np.ones((1, y.size)) if counts is None else np.asarray(counts, np.float64)
    order = np.argsort(-s, kind="stable")
    y, s, w = y[order], s[order], w[:, order]
    ends = np.flatnonzero(np.append(s[1:] != s[:-1], True)) if s.size else np.empty(0, np.int64)
    zeros = np.zeros((len(w), 1))
    tp = np.cumsum(w * y, axis=1)[:, ends]
    fp = np.cumsum(w * (1 - y), axis=1)[:, ends]
    return Roc(np.hstack([zeros, tp]), np.hstack([zeros, fp]))


def measures(
    targets: npt.ArrayLike, scores: npt.ArrayLike, p_fake: npt.ArrayLike, counts: npt.ArrayLike | None = None
) -> dict[str, Floats]:
    """All measures, float64 (B,) each; those of ranking are NaN where one class is missing.

    ``auc`` and ``average_precision`` (Davis and Goadrich, ICML 2006: no interpolation) go by the order of the scores;
    ``tpr_at_1_fpr`` and ``tpr_at_01_fpr`` are the share of fakes found when at most 1 % and 0.1 % of the real pictures
    are flagged; ``eer`` is the rate at which misses and false alarms are alike; ``accuracy`` is at p = 0.5; ``brier``
    is the mean squared error of the probability; ``ece`` is the expected calibration error over equal-width bins (Guo
    et al., ICML 2017). All lie in [0, 1].

    Args:
        targets: (N,), 1 = fake.
        scores: (N,), what ranks the pictures: raw logits.
        p_fake: (N,), calibrated probabilities.
        counts: see :func:`roc`.
    """
    y, p = np.asarray(targets, np.float64), np.asarray(p_fake, np.float64)
    w = np.ones((1, y.size)) if counts is None else np.asarray(counts, np.float64)
    curve = roc(y, scores, w)
    total = w.sum(axis=1)
    return {
        "auc": _auc(curve),
        "average_precision": _average_precision(curve),
        "accuracy": w @ ((p > 0.5) == (y > 0.5)) / total,
        "tpr_at_1_fpr": _tpr_at(curve, 0.01),
        "tpr_at_01_fpr": _tpr_at(curve, 0.001),
        "eer": _eer(curve),
        "brier": w @ (p - y) ** 2 / total,
        "ece": _ece(y, p, w),
    }


def estimates(
    targets: npt.ArrayLike, scores: npt.ArrayLike, p_fake: npt.ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Estimate]:
    """:func:`measures` with 95 % percentile intervals of the bootstrap, stratified by class (Efron, 1979)."""
    point = measures(targets, scores, p_fake)
    drawn = [measures(targets, scores, p_fake, counts) for counts in bootstrap_counts(targets, resamples, seed)]
    return {
        name: Estimate(float(value[0]), *middle(np.concatenate([part[name] for part in drawn])))
        for name, value in point.items()
    }


def auc_estimate(
    targets: npt.ArrayLike, scores: npt.ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """The AUC alone, with its interval; cheaper than :func:`estimates`."""
    drawn = [_auc(roc(targets, scores, counts)) for counts in bootstrap_counts(targets, resamples, seed)]
    return Estimate(auc(targets, scores), *middle(np.concatenate(drawn)))


def bootstrap_counts(targets: npt.ArrayLike, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each picture is drawn in each resample: float64 (B, N) a piece, ``resamples`` rows in all.

    Each class is drawn from itself, as many as there are. Equal targets and seeds give equal draws, so that two models
    on the same pictures can be compared draw by draw.
    """
    y = np.asarray(targets)
    rng = np.random.default_rng(seed)
    rows = max(1, _CELLS // max(1, y.size))
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        counts = np.zeros((size, y.size))
        for label in (0, 1):
            members = np.flatnonzero(y == label)
            if members.size:
                drawn = rng.integers(0, members.size, (size, members.size)) + members.size * np.arange(size)[:, None]
                tally = np.bincount(drawn.ravel(), minlength=size * members.size)
                counts[:, members] = tally.reshape(size, members.size)
        yield counts


def middle(values: Floats) -> tuple[float, float]:
    """The 2.5 % and 97.5 % quantiles of (B,) resampled values; NaN where there are none that count."""
    low, high = np.nanquantile(values, (0.025, 0.975)) if np.isfinite(values).any() else (np.nan, np.nan)
    return float(low), float(high)


def share(hits: npt.ArrayLike) -> Estimate:
    """A share with its 95 % Wilson interval (Wilson, 1927), right for small counts and for none at all.

    Args:
        hits: (N,), booleans; an empty array gives NaN.
    """
    values = np.asarray(hits, bool)
    if not values.size:
        return Estimate(float("nan"), float("nan"), float("nan"))
    interval = stats.binomtest(int(values.sum()), values.size).proportion_ci(method="wilson")
    return Estimate(float(values.mean()), float(interval.low), float(interval.high))


def auc(targets: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the ROC curve, [0, 1]; NaN where one class is missing."""
    return float(_auc(roc(targets, scores))[0])


def auc_of(targets: npt.ArrayLike, scores: npt.ArrayLike, counts: npt.ArrayLike) -> Floats:
    """The AUC of each resample, float64 (B,); ``counts`` as in :func:`roc`."""
    return _auc(roc(targets, scores, counts))


def auc_gains(
    targets: npt.ArrayLike, scores: npt.ArrayLike, others: npt.ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0
) -> Floats:
    """The AUC of ``scores`` less that of ``others``, paired: float64 (resamples,), both on the same pictures drawn."""
    drawn = [
        auc_of(targets, scores, counts) - auc_of(targets, others, counts)
        for counts in bootstrap_counts(targets, resamples, seed)
    ]
    return np.concatenate(drawn)


def accuracy(targets: npt.ArrayLike, logits: npt.ArrayLike, threshold: float = 0.0) -> float:
    """Share of pictures on the right side of ``threshold`` (a logit), [0, 1]."""
    return float(np.mean((np.asarray(logits) > threshold) == (np.asarray(targets) > 0.5)))


def tpr_at_fpr(targets: npt.ArrayLike, scores: npt.ArrayLike, fpr: float) -> float:
    """Share of fakes above the least threshold that at most ``fpr`` of the real pictures exceed."""
    return float(_tpr_at(roc(targets, scores), fpr)[0])


def threshold_at_fpr(real_scores: npt.ArrayLike, fpr: float) -> float:
    """The least score that at most a share ``fpr`` of ``real_scores`` exceeds."""
    ordered = np.sort(np.asarray(real_scores, np.float64))[::-1]
    return float(ordered[min(int(fpr * ordered.size), ordered.size - 1)])


def expected_calibration_error(targets: npt.ArrayLike, p_fake: npt.ArrayLike) -> float:
    """ECE over ten equal-width bins (Guo et al., ICML 2017), [0, 1]."""
    y = np.asarray(targets, np.float64)
    return float(_ece(y, np.asarray(p_fake, np.float64), np.ones((1, y.size)))[0])


def bin_of(p_fake: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The ECE bin of each probability, 0 .. ECE_BINS - 1."""
    return np.minimum((np.asarray(p_fake, np.float64) * ECE_BINS).astype(np.int64), ECE_BINS - 1)


def _auc(curve: Roc) -> Floats:
    return np.asarray(np.trapezoid(curve.tpr, curve.fpr, axis=1), np.float64)


def _average_precision(curve: Roc) -> Floats:
    found = np.diff(curve.tpr, axis=1)
    flagged = curve.tp[:, 1:] + curve.fp[:, 1:]
    # Where nothing is drawn yet, nothing is found either: whatever stands for that precision does not count.
    precision = curve.tp[:, 1:] / np.maximum(flagged, 1)
    value = np.sum(found * precision, axis=1)
    return np.asarray(np.where(curve.fp[:, -1] > 0, value, np.nan), np.float64)


def _tpr_at(curve: Roc, fpr: float) -> Floats:
    allowed = np.floor(fpr * curve.fp[:, -1:] + 1e-9)
    value = np.max(np.where(curve.fp <= allowed, curve.tpr, 0.0), axis=1)
    return np.asarray(np.where(curve.fp[:, -1] > 0, value, np.nan), np.float64)


def _eer(curve: Roc) -> Floats:
    """Where false alarms (rising from 0) meet misses (falling from 1), between two points of the curve."""
    gap = curve.fpr - (1 - curve.tpr)
    after = np.argmax(gap >= 0, axis=1)
    row = np.arange(len(gap))
    before = np.maximum(after - 1, 0)
    step = gap[row, after] - gap[row, before]
    with np.errstate(invalid="ignore", divide="ignore"):
        along = np.where(step > 0, -gap[row, before] / step, 0.0)
    value = curve.fpr[row, before] + along * (curve.fpr[row, after] - curve.fpr[row, before])
    return np.asarray(np.where(np.isfinite(gap[:, -1]), value, np.nan), np.float64)


def _ece(y: Floats, p: Floats, w: Floats) -> Floats:
    inside = np.eye(ECE_BINS)[bin_of(p)]
    return np.asarray(np.abs(w @ (inside * (p - y)[:, None])).sum(axis=1) / w.sum(axis=1), np.float64)
