"""From logits to verdicts and their words."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.cards import Calibration, ModelCard
from app.core.records import Opinion, Quality, TrackResult, Verdict
from app.core.scoring import (
    LOGIT_LIMIT,
    calibrated,
    logit_of,
    opinion_of,
    percent,
    sigmoid,
    video_opinion,
    why_not_judged,
    with_threshold,
)

MakeCard = Callable[..., ModelCard]
GOOD = Quality(size_px=100, sharpness=0.5, brightness=120, yaw=0.1)


@given(st.floats(-LOGIT_LIMIT, LOGIT_LIMIT))
def test_sigmoid_and_logit_are_inverse(logit: float) -> None:
    assert logit_of(sigmoid(logit)) == pytest.approx(logit, abs=1e-6)
    assert sigmoid(-logit) == pytest.approx(1 - sigmoid(logit))


@given(st.floats(allow_nan=False))
def test_sigmoid_never_overflows(logit: float) -> None:
    assert 0 <= sigmoid(logit) <= 1


@given(st.floats(0, 1))
def test_logit_is_clipped(p: float) -> None:
    assert abs(logit_of(p)) <= LOGIT_LIMIT


def _calibration(slope: float = 1.0, offset: float = 0.0) -> Calibration:
    return Calibration(slope=slope, offset=offset, method="", fitted_on="")


@given(st.floats(-1e30, 1e30), st.floats(0.01, 10), st.floats(-10, 10))
def test_calibrated_logits_are_clipped(logit: float, slope: float, offset: float) -> None:
    value = calibrated(logit, _calibration(slope, offset))
    assert abs(value) <= LOGIT_LIMIT
    if abs(slope * logit + offset) < LOGIT_LIMIT:
        assert value == slope * logit + offset


@pytest.mark.parametrize("logit", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_score(logit: float) -> None:
    with pytest.raises(ValueError, match="no score"):
        calibrated(logit, _calibration())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size_px": 31.4}, "too small: 31 px, needs 40"),
        ({"brightness": 12.3}, "too dark: brightness 12 of 255, needs 20"),
        ({"brightness": 250.0}, "overexposed: brightness 250 of 255, at most 240"),
        ({"yaw": 0.912}, "turned too far to the side: 0.91 of 1, at most 0.80"),
        ({"sharpness": 0.012}, "too blurred: sharpness 0.01, needs 0.05"),
    ],
)
def test_every_gate_names_its_numbers(make_card: MakeCard, change: dict[str, float], words: str) -> None:
    assert why_not_judged(replace(GOOD, **change), make_card().thresholds) == words


@pytest.mark.parametrize(
    "edge", [{"size_px": 40.0}, {"brightness": 20.0}, {"brightness": 240.0}, {"yaw": 0.8}, {"sharpness": 0.05}]
)
def test_gates_let_their_own_limit_pass(make_card: MakeCard, edge: dict[str, float]) -> None:
    assert why_not_judged(replace(GOOD, **edge), make_card().thresholds) is None


@pytest.mark.parametrize(
    ("p", "verdict"),
    [
        (0.95, Verdict.FAKE),
        (0.901, Verdict.FAKE),
        (0.899, Verdict.UNCERTAIN),
        (0.5, Verdict.UNCERTAIN),
        (0.201, Verdict.UNCERTAIN),
        (0.199, Verdict.REAL),
        (0.02, Verdict.REAL),
    ],
)
def test_verdicts_change_at_the_thresholds(make_card: MakeCard, p: float, verdict: Verdict) -> None:
    opinion = opinion_of(logit_of(p), make_card().thresholds, "over 3 scored pictures")
    assert opinion.verdict is verdict
    assert opinion.p_fake == pytest.approx(p)
    assert percent(p) in opinion.reason
    assert "over 3 scored pictures" in opinion.reason
    named = {Verdict.FAKE: ["90"], Verdict.REAL: ["20"], Verdict.UNCERTAIN: ["20", "90"]}[verdict]
    assert all(number in opinion.reason for number in named)


def test_a_threshold_belongs_to_its_verdict(make_card: MakeCard) -> None:
    at = sigmoid(1.0)
    fake = make_card(thresholds={"fake": at, "real": 0.1}).thresholds
    real = make_card(thresholds={"fake": 0.9, "real": at}).thresholds
    both = make_card(thresholds={"fake": at, "real": at}).thresholds
    assert opinion_of(1.0, fake, "").verdict is Verdict.FAKE
    assert opinion_of(1.0, real, "").verdict is Verdict.REAL
    assert opinion_of(1.0, both, "").verdict is Verdict.FAKE


@pytest.mark.parametrize(
    ("chosen", "fake", "says"),
    [
        ("fake: at most 1 %; real: at most 5 %; gates: by hand", 0.3, "real: at most 5 %; gates: by hand"),
        ("fake: at most 1 %; real: at most 5 %; gates: by hand", 0.1, "real: not above it; gates: by hand"),
        ("the strictest of the models' own", 0.95, "all else: the strictest of the models' own"),
    ],
)
def test_a_threshold_of_the_users_is_said_to_be(make_card: MakeCard, chosen: str, fake: float, says: str) -> None:
    needs = with_threshold(make_card(thresholds={"fake": 0.9, "real": 0.2, "chosen": chosen}).thresholds, fake)
    assert (needs.fake, needs.real) == (fake, min(fake, 0.2))
    assert needs.chosen == f"fake: {fake}, set by the user; {says}"


@given(st.floats(0, 1))
def test_percent_never_claims_certainty(p: float) -> None:
    words = percent(p)
    assert words not in ("0 %", "100 %")
    assert words.endswith(" %")


def test_percent_of_known_numbers() -> None:
    assert [percent(p) for p in (0.0, 0.004, 0.01, 0.554, 0.99, 0.995, 1.0)] == [
        "under 1 %",
        "under 1 %",
        "1 %",
        "55 %",
        "99 %",
        "over 99 %",
        "over 99 %",
    ]


FAKE = Opinion(Verdict.FAKE, 0.97, "97 % ...")
WORSE = Opinion(Verdict.FAKE, 0.99, "99 % ...")
REAL = Opinion(Verdict.REAL, 0.05, "5 % ...")
LESS_REAL = Opinion(Verdict.REAL, 0.15, "15 % ...")
UNDECIDED = Opinion(Verdict.UNCERTAIN, 0.6, "undecided: 60 % ...")
BRIEF = Opinion(Verdict.UNCERTAIN, 0.4, "seen too briefly: 1 usable picture, needs 3")
SMALL = Opinion(Verdict.UNCERTAIN, None, "too small: 20 px, needs 40")


@pytest.mark.parametrize(
    ("opinions", "verdict", "p", "words"),
    [
        ([], Verdict.UNCERTAIN, None, "no face was found"),
        ([FAKE], Verdict.FAKE, 0.97, "1 of 1 face judged AI-generated; face 1: 97 %"),
        ([REAL, FAKE, WORSE, UNDECIDED], Verdict.FAKE, 0.99, "2 of 4 faces judged AI-generated; face 3: 99 %"),
        ([REAL, UNDECIDED], Verdict.UNCERTAIN, 0.6, "face 2: undecided: 60 %"),
        ([REAL, LESS_REAL], Verdict.REAL, 0.15, "2 of 2 faces judged real, none AI-generated"),
        ([REAL, SMALL, BRIEF], Verdict.REAL, 0.05, "1 of 3 faces judged real, none AI-generated; 2 could not"),
        ([SMALL, BRIEF], Verdict.UNCERTAIN, 0.4, "no face could be judged; face 2: seen too briefly"),
        ([BRIEF, UNDECIDED], Verdict.UNCERTAIN, 0.6, "face 2: undecided"),
    ],
)
def test_the_verdict_on_a_video(opinions: list[Opinion], verdict: Verdict, p: float | None, words: str) -> None:
    tracks = [
        TrackResult(n, o, 0.0, 1.0, n, 3, None, 80.0, judged=o not in (BRIEF, SMALL)) for n, o in enumerate(opinions, 1)
    ]
    overall = video_opinion(tracks)
    assert (overall.verdict, overall.p_fake) == (verdict, p)
    assert overall.reason.startswith(words)
