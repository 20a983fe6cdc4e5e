"""Metrics, calibration and thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train import calibrate, metrics

scores = st.lists(st.floats(-20, 20), min_size=2, max_size=60)


def test_auc_of_perfect_chance_and_reversed_order() -> None:
    assert metrics.auc([0, 0, 1, 1], [1, 2, 3, 4]) == 1
    assert metrics.auc([0, 0, 1, 1], [4, 3, 2, 1]) == 0
    assert metrics.auc([0, 1], [1, 1]) == 0.5
    assert np.isnan(metrics.auc([1, 1], [0.1, 0.2]))


@given(scores, st.floats(0, 0.99))
def test_threshold_keeps_its_promise(real: list[float], fpr: float) -> None:
    threshold = metrics.threshold_at_fpr(real, fpr)
    assert np.mean(np.asarray(real) > threshold) <= fpr + 1e-12


def test_tpr_at_fpr() -> None:
    targets = [0] * 100 + [1] * 4
    values = [*range(100), 98.5, 99.5, 50, 200]
    assert metrics.tpr_at_fpr(targets, values, 0.01) == 0.75
    assert metrics.tpr_at_fpr(targets, values, 0.0) == 0.5


def test_ece_of_honest_and_boastful_probabilities() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    targets = (rng.random(20_000) < p).astype(int)
    assert metrics.expected_calibration_error(targets, p) < 0.02
    assert metrics.expected_calibration_error(targets, (p > 0.5).astype(float)) > 0.2


def test_platt_finds_the_scale_that_was_hidden() -> None:
    rng = np.random.default_rng(0)
    true_logits = rng.normal(0, 2, 40_000)
    targets = (rng.random(40_000) < 1 / (1 + np.exp(-true_logits))).astype(int)
    fitted = calibrate.platt(targets, (true_logits - 1.5) * 3, "synthetic")
    assert fitted.slope == pytest.approx(1 / 3, rel=0.05)
    assert fitted.offset == pytest.approx(1.5, abs=0.1)
    assert calibrate.apply(fitted, [-4.5])[0] == pytest.approx(0.5, abs=0.02)


def test_logits_that_rank_the_wrong_way_are_refused() -> None:
    with pytest.raises(ValueError, match="wrong way round"):
        calibrate.platt([0, 0, 1, 1], [3.0, 2.0, -2.0, -3.0], "synthetic")


def test_thresholds_are_careful_and_ordered() -> None:
    targets = np.repeat([0, 1], 1000)
    p = np.concatenate([np.linspace(0, 0.97, 1000), np.linspace(0.3, 1, 1000)])
    chosen = calibrate.thresholds(targets, p, "synthetic")
    assert np.mean(p[targets == 0] >= chosen.fake) <= calibrate.FALSE_ALARMS
    assert np.mean(p[targets == 1] <= chosen.real) <= calibrate.MISSED_AS_REAL
    perfect = calibrate.thresholds(targets, np.repeat([0.01, 0.99], 1000), "synthetic")
    assert perfect.fake >= calibrate.LEAST_FAKE and perfect.real <= calibrate.MOST_REAL
