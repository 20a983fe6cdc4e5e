"""What a finished scan hands to its summaries and reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from app.core.records import ImageU8, Opinion, TrackResult, Vote

if TYPE_CHECKING:
    from app.core.consensus import Consensus

SCHEMA = 1
"""Version of ``summary.json`` and ``faces.jsonl``."""


@dataclass(frozen=True, slots=True)
class Highlight:
    """A telling moment of a track.

    Attributes:
        crop: uint8 RGB (size, size, 3), as the classifier saw it.
        evidence: float32 (h, w): see :mod:`app.models.gradcam`.
        logit: calibrated.
    """

    track: int
    time_s: float
    logit: float
    crop: ImageU8
    evidence: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TimelinePoint:
    """The smoothed probability of one track at one moment."""

    time_s: float
    p_fake: float


@dataclass(frozen=True, slots=True)
class VideoReport:
    """Everything known of one source after a scan.

    Attributes:
        source: the path or address as the user gave it.
        kind: "video" or "picture".
        opinion: the verdict on the whole source.
        frames: frames analysed; ``faces``: faces found in them, summed over frames.
        duration_s: time of the last frame; 0 for a picture.
        consensus: who judged, with the thresholds that the scan went by.
        boxes: for a picture, the box of each track, pixels xyxy.
        timelines: per track id, in order of time, thinned for drawing.
        highlights: most telling first within a track.
        error: one sentence where something went wrong, else None.
        partial: the scan did not reach the end of the source.
        redacted: faces that are not flagged AI-GENERATED cannot be recognised in its pictures.
        fingerprint: of source, model and options; equal ones give equal results.
    """

    source: str
    kind: str
    opinion: Opinion
    frames: int
    faces: int
    duration_s: float
    tracks: tuple[TrackResult, ...]
    consensus: Consensus
    device: str
    settings: dict[str, Any]
    boxes: dict[int, tuple[float, float, float, float]] = field(default_factory=dict)
    timelines: dict[int, tuple[TimelinePoint, ...]] = field(default_factory=dict)
    highlights: tuple[Highlight, ...] = ()
    error: str | None = None
    partial: bool = False
    fingerprint: str = ""
    redacted: bool = False

    def summary(self) -> dict[str, Any]:
        """The object of this source in ``summary.json`` and on standard output with ``--json``."""
        summary = {
            "schema": SCHEMA,
            "source": self.source,
            "verdict": self.opinion.verdict.value,
            "p_fake": _short(self.opinion.p_fake),
            "reason": self.opinion.reason,
            "frames": self.frames,
            "faces": self.faces,
            "model": self.consensus.name,
            "tracks": [self._track_summary(t) for t in self.tracks],
            "error": self.error,
            "partial": self.partial,
            "duration_s": round(self.duration_s, 3),
            "device": self.device,
            "fingerprint": self.fingerprint,
            "redacted": self.redacted,
        }
        if not self.consensus.alone:
            names = [card.name for card in self.consensus.cards]
            shares = {name: round(w, 4) for name, w in zip(names, self.consensus.weights, strict=True)}
            summary["consensus"] = {"weights": shares, "note": self.consensus.note}
        return summary

    def _track_summary(self, track: TrackResult) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "id": track.id,
            "verdict": track.opinion.verdict.value,
            "p_fake": _short(track.opinion.p_fake),
            "reason": track.opinion.reason,
            "first_s": round(track.first_s, 3),
            "last_s": round(track.last_s, 3),
            "faces": track.faces,
            "scored": track.scored,
            "largest_px": round(track.largest_px, 1),
        }
        if track.id in self.boxes:
            entry["box"] = list(self.boxes[track.id])
        if track.votes:
            entry["models"] = votes_json(track.votes)
        return entry


def votes_json(votes: Sequence[Vote]) -> dict[str, dict[str, Any]]:
    """What every model said, by its name, as it stands in summaries."""
    return {vote.model: {"verdict": vote.verdict.value, "p_fake": _short(vote.p_fake)} for vote in votes}


def failure(source: str, model: str, error: str) -> dict[str, Any]:
    """The summary of a source that could not be scanned at all."""
    return {
        "schema": SCHEMA,
        "source": source,
        "verdict": "uncertain",
        "p_fake": None,
        "reason": "could not be scanned",
        "frames": 0,
        "faces": 0,
        "model": model,
        "tracks": [],
        "error": error,
        "partial": False,
    }


def _short(p: float | None) -> float | None:
    return None if p is None else round(p, 4)
