"""Evidence depends on time, not on how often somebody looked."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.vision.smoothing import Evidence

LOGITS = st.floats(-8, 8)


def _followed(fps: float, seconds: float = 1.0) -> Evidence:
    """A face that was -3 for long and is +3 for ``seconds``."""
    evidence = Evidence()
    evidence.add(-3, 0.0)
    for n in range(1, round(fps * seconds) + 1):
        evidence.add(3, n / fps)
    return evidence


@pytest.mark.parametrize("fps", [5, 10, 25, 30, 60, 120])
def test_recent_does_not_depend_on_the_frame_rate(fps: float) -> None:
    assert _followed(fps).recent == pytest.approx(3 - 6 * math.exp(-1 / 0.7))


@given(LOGITS, st.integers(1, 60), st.floats(1, 120))
def test_a_constant_stays_itself(logit: float, count: int, fps: float) -> None:
    evidence = Evidence()
    for n in range(count):
        evidence.add(logit, n / fps)
    assert evidence.recent == pytest.approx(logit)
    assert evidence.mean == pytest.approx(logit)
    assert evidence.count == count


@given(st.lists(LOGITS, min_size=1, max_size=30))
def test_both_means_stay_within_what_was_seen(logits: list[float]) -> None:
    evidence = Evidence()
    for n, logit in enumerate(logits):
        evidence.add(logit, n / 10)
    assert evidence.recent is not None
    assert evidence.mean is not None
    assert min(logits) - 1e-9 <= evidence.recent <= max(logits) + 1e-9
    assert evidence.mean == pytest.approx(sum(logits) / len(logits))


def test_a_gap_makes_recent_start_anew() -> None:
    evidence = _followed(10)
    before = evidence.recent
    evidence.add(-5, 1.0 + 1.9)
    assert evidence.recent not in (before, -5)
    evidence.add(-6, 2.9 + 2.1)
    assert evidence.recent == -6
    assert evidence.count == 13


def test_scores_at_one_instant_count_too() -> None:
    evidence = Evidence()
    evidence.add(0, 1.0)
    evidence.add(4, 1.0)
    assert evidence.recent is not None
    assert 0 < evidence.recent < 4


def test_nothing_scored_is_no_evidence() -> None:
    assert Evidence().mean is None
    assert Evidence().recent is None


@given(st.lists(LOGITS, max_size=8), st.lists(LOGITS, min_size=1, max_size=8))
def test_it_goes_on_from_json_as_if_nothing_had_happened(before: list[float], after: list[float]) -> None:
    whole = Evidence()
    for n, logit in enumerate(before):
        whole.add(logit, n * 0.13)
    again = Evidence.restored(json.loads(json.dumps(whole.state(), allow_nan=False)))
    assert again == whole
    for n, logit in enumerate(after, len(before)):
        whole.add(logit, n * 0.13)
        again.add(logit, n * 0.13)
        assert again == whole
