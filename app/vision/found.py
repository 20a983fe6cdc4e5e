"""Faces between being found and being judged, and what is remembered of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

from app.core.records import Detection, Quality
from app.models.ensemble import Crops
from app.vision.smoothing import Evidence


@dataclass(slots=True)
class Track:
    """One face over time.

    Attributes:
        first_s, last_s: when it was seen.
        faces: on how many frames; ``largest_px``: the longest side of its box there.
        scored_s, scored_box: when and where it was last cropped.
        passed: crops that the gates let pass; the evidence lacks those that are not judged yet.
        evidence: of the consensus; ``members``: of every model, where there are several.
        refusals: how often it could not be judged, by reason; ``refusal``: why its last crop could not.
    """

    first_s: float
    last_s: float
    faces: int = 0
    largest_px: float = 0.0
    scored_s: float | None = None
    scored_box: tuple[float, float, float, float] | None = None
    passed: int = 0
    evidence: Evidence = field(default_factory=Evidence)
    members: list[Evidence] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    refusal: str | None = None

    def state(self) -> dict[str, Any]:
        """The track as JSON, when all its crops are judged."""
        return {
            "first_s": self.first_s,
            "last_s": self.last_s,
            "faces": self.faces,
            "largest_px": self.largest_px,
            "scored_s": self.scored_s,
            "scored_box": self.scored_box,
            "passed": self.passed,
            "evidence": self.evidence.state(),
            "members": [member.state() for member in self.members],
            "refusals": dict(self.refusals),
            "refusal": self.refusal,
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Self:
        """The track from a :meth:`state`."""
        made = {
            "scored_box": None if state["scored_box"] is None else tuple(state["scored_box"]),
            "evidence": Evidence.restored(state["evidence"]),
            "members": [Evidence.restored(member) for member in state["members"]],
            "refusals": Counter(state["refusals"]),
        }
        return cls(**state | made)


@dataclass(frozen=True, slots=True)
class Look:
    """A face as it was cropped.

    Attributes:
        crops: for all models.
        quality: of the first model's crop.
        refusal: why some model cannot judge it; None if all can.
        turn: of its views: see :func:`app.models.views.score_views`.
    """

    crops: Crops
    quality: Quality
    refusal: str | None
    turn: int | None


@dataclass(frozen=True, slots=True)
class Score:
    """What became of a face that was due: logits of the consensus and of its members, none where it was refused."""

    quality: Quality | None = None
    logit: float | None = None
    logits: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """The faces of a frame, found and followed, and cropped where they are due, but not judged yet.

    Attributes:
        index, time_s: of the frame.
        cut: a new scene begins.
        detections: by track.
        refusals: by track, why its last crop could not be judged.
        looks: by track, of those that are due.
    """

    index: int
    time_s: float
    cut: bool
    detections: dict[int, Detection]
    refusals: dict[int, str | None]
    looks: dict[int, Look]

    @property
    def waiting(self) -> list[Look]:
        """The looks that are for the classifier."""
        return [look for look in self.looks.values() if look.refusal is None]
