"""From validation logits to a calibration and thresholds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from app.core.cards import Calibration, Thresholds
from train import metrics

FALSE_ALARMS = 0.01
"""Share of real validation pictures that may be called AI-GENERATED."""
MISSED_AS_REAL = 0.05
"""Share of generated validation pictures that may be called REAL."""
LEAST_FAKE, MOST_REAL = 0.9, 0.2
"""However well the validation split is told apart, unfamiliar pictures are told apart less well: AI-GENERATED is not
said below the first probability, REAL not above the second."""


def platt(targets: npt.ArrayLike, logits: npt.ArrayLike, fitted_on: str) -> Calibration:
    """Platt scaling, both classes weighted alike: p_fake then supposes that half of all faces are generated.

    Args:
        targets: (N,), 1 = fake.
        logits: (N,), raw.
        fitted_on: what the pictures are, for the card.
    """
    model = LogisticRegression(C=1e6, class_weight="balanced")
    model.fit(np.asarray(logits, np.float64).reshape(-1, 1), np.asarray(targets))
    slope, offset = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope <= 0:
        raise ValueError(f"the logits rank the validation pictures the wrong way round (slope {slope:.3f})")
    return Calibration(slope=round(slope, 6), offset=round(offset, 6), method="Platt scaling", fitted_on=fitted_on)


def apply(calibration: Calibration, logits: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Calibrated probabilities of raw logits."""
    scaled = calibration.slope * np.asarray(logits, np.float64) + calibration.offset
    return np.asarray(1 / (1 + np.exp(-np.clip(scaled, -60, 60))), np.float64)


def thresholds(targets: npt.ArrayLike, p_fake: npt.ArrayLike, fitted_on: str) -> Thresholds:
    """Thresholds by the false alarms and misses allowed on validation pictures; quality gates as the app needs them."""
    targets, p = np.asarray(targets), np.asarray(p_fake)
    fake = max(LEAST_FAKE, metrics.threshold_at_fpr(p[targets == 0], FALSE_ALARMS))
    real = min(MOST_REAL, float(np.quantile(p[targets == 1], MISSED_AS_REAL)))
    return Thresholds(
        # Rounded away from each other, so that rounding never breaks a promise.
        fake=min(0.999, float(np.ceil(fake * 1e3) / 1e3)),
        real=max(0.001, float(np.floor(min(real, fake) * 1e3) / 1e3)),
        min_size_px=64,
        min_sharpness=0.08,
        min_brightness=30,
        max_brightness=235,
        max_yaw=0.85,
        min_scores=5,
        chosen=(
            f"fake: at most {FALSE_ALARMS:.0%} false alarms on {fitted_on}, not below {LEAST_FAKE}; "
            f"real: at most {MISSED_AS_REAL:.0%} of its generated faces called real, not above {MOST_REAL}; "
            "quality gates: by hand"
        ),
    )
