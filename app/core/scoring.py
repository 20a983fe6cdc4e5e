"""From logits to verdicts: calibration, quality gates, thresholds, and the words that go with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.core.records import Opinion, Quality, TrackResult, Verdict

if TYPE_CHECKING:
    from app.core.cards import Calibration, Thresholds

LOGIT_LIMIT = 8.0
"""Calibrated logits are clipped to this: one wild frame must not outvote many calm ones. sigmoid(8) = 0.9997."""


def sigmoid(logit: float) -> float:
    """Probability of a logit, without overflow."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    odds = math.exp(logit)
    return odds / (1 + odds)


def logit_of(p: float) -> float:
    """Inverse of :func:`sigmoid`, clipped to +-LOGIT_LIMIT."""
    if p <= 0:
        return -LOGIT_LIMIT
    if p >= 1:
        return LOGIT_LIMIT
    return max(-LOGIT_LIMIT, min(LOGIT_LIMIT, math.log(p / (1 - p))))


def calibrated(logit: float, calibration: Calibration) -> float:
    """A model's raw logit on the calibrated scale, clipped to +-LOGIT_LIMIT.

    Raises:
        ValueError: the logit is not finite; a broken model must not become a verdict.
    """
    if not math.isfinite(logit):
        raise ValueError(f"the model returned {logit}, which is no score")
    return max(-LOGIT_LIMIT, min(LOGIT_LIMIT, calibration.slope * logit + calibration.offset))


def why_not_judged(quality: Quality, needs: Thresholds) -> str | None:
    """The reason in words why a face cannot be judged, or None when it can."""
    if quality.size_px < needs.min_size_px:
        return f"too small: {quality.size_px:.0f} px, needs {needs.min_size_px:.0f}"
    if quality.brightness < needs.min_brightness:
        return f"too dark: brightness {quality.brightness:.0f} of 255, needs {needs.min_brightness:.0f}"
    if quality.brightness > needs.max_brightness:
        return f"overexposed: brightness {quality.brightness:.0f} of 255, at most {needs.max_brightness:.0f}"
    if quality.yaw > needs.max_yaw:
        return f"turned too far to the side: {quality.yaw:.2f} of 1, at most {needs.max_yaw:.2f}"
    if quality.sharpness < needs.min_sharpness:
        return f"too blurred: sharpness {quality.sharpness:.2f}, needs {needs.min_sharpness:.2f}"
    return None


def verdict_of(p: float, thresholds: Thresholds) -> Verdict:
    """What a calibrated probability of "AI-generated" says."""
    if p >= thresholds.fake:
        return Verdict.FAKE
    return Verdict.REAL if p <= thresholds.real else Verdict.UNCERTAIN


def with_threshold(own: Thresholds, fake: float) -> Thresholds:
    """``own`` thresholds with that of AI-GENERATED as the user set it; ``chosen`` says so."""
    lowered = fake < own.real
    replaced = ("fake: ", "real: ") if lowered else ("fake: ",)
    words = [f"fake: {fake:g}, set by the user"] + ["real: not above it"] * lowered
    parts = own.chosen.split("; ")
    kept = [part for part in parts if not part.startswith(replaced)]
    words += [f"all else: {own.chosen}"] if len(kept) == len(parts) else kept
    return own.model_copy(update={"fake": fake, "real": min(own.real, fake), "chosen": "; ".join(words)})


def opinion_of(logit: float, thresholds: Thresholds, basis: str) -> Opinion:
    """The verdict on calibrated evidence.

    Args:
        logit: calibrated logit, usually a mean over frames.
        thresholds: of the model's card, or the user's.
        basis: what the evidence is, in words: "over 14 scored pictures".
    """
    p = sigmoid(logit)
    verdict, told = verdict_of(p, thresholds), f"{percent(p)} probability of AI generation {basis}"
    real, fake = (f"{border * 100:.4g}" for border in (thresholds.real, thresholds.fake))
    reason = {
        Verdict.FAKE: f"{told}, at or above {fake} %",
        Verdict.REAL: f"{told}, at or below {real} %",
        Verdict.UNCERTAIN: f"undecided: {told}, between {real} and {fake} %",
    }
    return Opinion(verdict, p, reason[verdict])


def percent(p: float) -> str:
    """A probability for people; it never rounds to a certainty that nobody has."""
    if p < 0.01:
        return "under 1 %"
    if p > 0.99:
        return "over 99 %"
    return f"{p * 100:.0f} %"


def video_opinion(tracks: Sequence[TrackResult]) -> Opinion:
    """The verdict on a whole video or picture, from the verdicts on its faces.

    AI-GENERATED where any face is; REAL where at least one face is judged real and none that could be judged is
    undecided; else CAN'T TELL. Faces that could not be judged at all (too small, seen too briefly) do not spoil
    the verdict on those that could. ``p_fake`` is the highest of the faces behind the verdict.
    """
    if not tracks:
        return Opinion(Verdict.UNCERTAIN, None, "no face was found")
    fake = [t for t in tracks if t.opinion.verdict is Verdict.FAKE]
    real = [t for t in tracks if t.opinion.verdict is Verdict.REAL]
    undecided = [t for t in tracks if t.opinion.verdict is Verdict.UNCERTAIN and t.judged]
    of_all = f"{len(tracks)} face{'s' if len(tracks) > 1 else ''}"
    if fake:
        worst = max(fake, key=_p)
        return Opinion(
            Verdict.FAKE,
            _p(worst),
            f"{len(fake)} of {of_all} judged AI-generated; face {worst.id}: {worst.opinion.reason}",
        )
    if undecided:
        worst = max(undecided, key=_p)
        return Opinion(Verdict.UNCERTAIN, _p(worst), f"face {worst.id}: {worst.opinion.reason}")
    if real:
        worst = max(real, key=_p)
        others = len(tracks) - len(real)
        rest = f"; {others} could not be judged" if others else ""
        return Opinion(Verdict.REAL, _p(worst), f"{len(real)} of {of_all} judged real, none AI-generated{rest}")
    longest = max(tracks, key=lambda t: t.faces)
    return Opinion(
        Verdict.UNCERTAIN,
        longest.opinion.p_fake,
        f"no face could be judged; face {longest.id}: {longest.opinion.reason}",
    )


def _p(track: TrackResult) -> float:
    assert track.opinion.p_fake is not None
    return track.opinion.p_fake
