"""From validation logits to a calibration, thresholds, and the words that say how they were chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold

from app.core.cards import Calibration, Thresholds
from app.core.errors import UnmaskError
from train import metrics
from train.metrics import Floats

FALSE_ALARMS = 0.01
"""Share of real validation pictures that may be called AI-GENERATED."""
MISSED_AS_REAL = 0.05
"""Share of generated validation pictures that may be called REAL."""
LEAST_FAKE, MOST_REAL = 0.9, 0.2
"""However well the validation split is told apart, unfamiliar pictures are told apart less well: AI-GENERATED is not
said below the first probability, REAL not above the second."""
FOLDS, REPEATS = 5, 4
"""Of the cross-validation that chooses between temperature and Platt scaling."""


@dataclass(frozen=True, slots=True)
class Gates:
    """What a face needs to be judged: fields of :class:`app.core.cards.Thresholds`, and how they came about."""

    min_size_px: float = 64
    min_sharpness: float = 0.08
    min_brightness: float = 30
    max_brightness: float = 235
    max_yaw: float = 0.85
    chosen: str = "by hand"

    @classmethod
    def of(cls, needs: Thresholds) -> Self:
        """The gates of a card, and what it says of them."""
        words = needs.chosen.partition("quality gates: ")[2] or "as before"
        return cls(
            needs.min_size_px, needs.min_sharpness, needs.min_brightness, needs.max_brightness, needs.max_yaw, words
        )


def fitted(targets: npt.ArrayLike, logits: npt.ArrayLike, fitted_on: str, *, seed: int = 0) -> Calibration:
    """Temperature or Platt scaling, whichever has the lower log-loss on pictures that it was not fitted on.

    Args:
        targets: (N,), 1 = fake.
        logits: (N,), raw.
        fitted_on: what the pictures are, for the card.
        seed: of the division into folds.

    Raises:
        UnmaskError: a class is missing, or the logits rank the pictures the wrong way round.
    """
    y, x = np.asarray(targets, np.int64), np.asarray(logits, np.float64)
    folds = min(FOLDS, int(np.bincount(y, minlength=2).min()))
    if folds < 2:
        return platt(y, x, fitted_on)
    losses: dict[str, list[float]] = {"temperature": [], "platt": []}
    for inside, outside in RepeatedStratifiedKFold(n_splits=folds, n_repeats=REPEATS, random_state=seed).split(x, y):
        for name, fit in (("temperature", temperature), ("platt", platt)):
            try:
                found = fit(y[inside], x[inside], fitted_on)
                losses[name].append(log_loss(y[outside], apply(found, x[outside])))
            except UnmaskError:
                losses[name].append(float("inf"))
    # At equal loss the simpler one.
    better = temperature if np.mean(losses["temperature"]) <= np.mean(losses["platt"]) else platt
    return better(y, x, fitted_on)


def temperature(targets: npt.ArrayLike, logits: npt.ArrayLike, fitted_on: str) -> Calibration:
    """Temperature scaling (Guo et al., ICML 2017), both classes weighted alike: one factor, no offset.

    Raises:
        UnmaskError: as :func:`platt`.
    """
    slope, _ = _regression(targets, logits, offset=False)
    return Calibration(slope=slope, offset=0.0, method="temperature scaling", fitted_on=fitted_on)


def platt(targets: npt.ArrayLike, logits: npt.ArrayLike, fitted_on: str) -> Calibration:
    """Platt scaling (1999), both classes weighted alike: p_fake then supposes that half of all faces are generated.

    Args:
        targets: (N,), 1 = fake.
        logits: (N,), raw.
        fitted_on: what the pictures are, for the card.

    Raises:
        UnmaskError: a class is missing, or the logits rank the pictures the wrong way round.
    """
    slope, offset = _regression(targets, logits, offset=True)
    return Calibration(slope=slope, offset=offset, method="Platt scaling", fitted_on=fitted_on)


def apply(calibration: Calibration, logits: npt.ArrayLike) -> Floats:
    """Calibrated probabilities of raw logits."""
    scaled = calibration.slope * np.asarray(logits, np.float64) + calibration.offset
    return np.asarray(1 / (1 + np.exp(-np.clip(scaled, -60, 60))), np.float64)


def log_loss(targets: npt.ArrayLike, p_fake: npt.ArrayLike) -> float:
    """Mean negative log-likelihood in nats, both classes weighted alike."""
    y, p = np.asarray(targets), np.clip(np.asarray(p_fake, np.float64), 1e-12, 1 - 1e-12)
    return float(np.mean([-np.log(p[y == 1]).mean(), -np.log(1 - p[y == 0]).mean()]))


def thresholds(targets: npt.ArrayLike, p_fake: npt.ArrayLike, fitted_on: str, gates: Gates | None = None) -> Thresholds:
    """Thresholds by the false alarms and misses allowed on validation pictures; between them lies CAN'T TELL.

    Args:
        targets: (N,), 1 = fake.
        p_fake: (N,), calibrated.
        fitted_on: what the pictures are, for the card.
        gates: as :class:`train.gates.Fitting` found them; None for those set by hand.
    """
    targets, p, needs = np.asarray(targets), np.asarray(p_fake), gates or Gates()
    # A score equal to the threshold is flagged, so the threshold is a step above the last one that may not be.
    limit = metrics.threshold_at_fpr(p[targets == 0], FALSE_ALARMS)
    fake = max(LEAST_FAKE, float(np.floor(limit * 1e3) + 1) / 1e3)
    fake = min(0.999, fake)
    alarms = float(np.mean(p[targets == 0] >= fake))
    real = min(MOST_REAL, float(np.quantile(p[targets == 1], MISSED_AS_REAL)))
    return Thresholds(
        # Rounded away from each other, so that rounding never breaks a promise.
        fake=fake,
        real=max(0.001, float(np.floor(min(real, fake) * 1e3) / 1e3)),
        min_size_px=needs.min_size_px,
        min_sharpness=needs.min_sharpness,
        min_brightness=needs.min_brightness,
        max_brightness=needs.max_brightness,
        max_yaw=needs.max_yaw,
        min_scores=5,
        chosen=(
            f"fake: at most {FALSE_ALARMS:.0%} false alarms on {fitted_on} ({alarms:.1%}), not below {LEAST_FAKE}; "
            f"real: at most {MISSED_AS_REAL:.0%} of its generated faces called real, not above {MOST_REAL}; "
            f"quality gates: {needs.chosen}"
        ),
    )


def _regression(targets: npt.ArrayLike, logits: npt.ArrayLike, *, offset: bool) -> tuple[float, float]:
    """Slope and offset of a logistic regression on the logits, six decimals."""
    y = np.asarray(targets)
    if np.unique(y).size < 2:
        raise UnmaskError("the validation split lacks one of the two classes real and fake; calibration needs both")
    model = LogisticRegression(C=1e6, class_weight="balanced", fit_intercept=offset)
    model.fit(np.asarray(logits, np.float64).reshape(-1, 1), y)
    slope, shift = float(model.coef_[0, 0]), float(np.ravel(model.intercept_)[0])
    if slope <= 0:
        raise UnmaskError(
            f"the logits rank the validation pictures the wrong way round (slope {slope:.3f}); "
            "the model has learned nothing, train it again"
        )
    return round(slope, 6), round(shift, 6) if offset else 0.0
