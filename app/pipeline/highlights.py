"""The most telling moments of every track, kept small and across interruptions."""

from __future__ import annotations

import zipfile
from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from app.core.errors import UnmaskError
from app.core.files import ANOTHER_PROJECT, whole_file
from app.core.records import Box, ImageU8, TrackResult, Verdict
from app.pipeline.records import Highlight
from app.vision.analyzer import ScoredFace
from app.vision.redaction import pixelate

MAX_TRACKS = 60
"""Tracks with pictures in a report; the first ones to appear. More would make a page that nobody can open."""


class Highlights:
    """For each track the moments that speak most for "AI-generated" and most for "real".

    Args:
        per_side: moments kept of each kind.
        apart_s: two moments of a track are at least this far apart, so that they do not show the same picture.
        redact: nobody but the face itself is kept in a picture, and of faces that are not flagged no picture at all.
    """

    def __init__(self, per_side: int = 3, apart_s: float = 1.0, *, redact: bool = False) -> None:
        self.redact = redact
        self._per_side = per_side
        self._apart_s = apart_s
        self._high: dict[int, list[Highlight]] = {}
        self._low: dict[int, list[Highlight]] = {}

    def offer(self, face: ScoredFace) -> None:
        """Take a scored face if it is among the most telling of its track."""
        if face.track not in self._high and len(self._high) >= MAX_TRACKS:
            return
        for kept, sign in ((self._high.setdefault(face.track, []), 1), (self._low.setdefault(face.track, []), -1)):
            rivals = [h for h in kept if abs(h.time_s - face.time_s) < self._apart_s]
            if not rivals and len(kept) == self._per_side:
                rivals = kept[-1:]
            if any(sign * face.logit <= sign * rival.logit for rival in rivals):
                continue
            for rival in rivals:
                kept.remove(rival)
            kept.append(Highlight(face.track, face.time_s, face.logit, self._alone(face), face.evidence))
            kept.sort(key=lambda h, sign=sign: -sign * h.logit)  # type: ignore[misc]

    def telling(self, track: int, *, toward_fake: bool) -> tuple[Highlight, ...]:
        """The moments of ``track`` that speak most for one answer, the strongest first."""
        return tuple((self._high if toward_fake else self._low).get(track, ()))

    def of(self, tracks: Sequence[TrackResult]) -> tuple[Highlight, ...]:
        """The moments that speak most for each track's verdict, as a report may show them."""
        return tuple(
            _pixelated(h) if self.redact and t.opinion.verdict is not Verdict.FAKE else h
            for t in tracks
            for h in self.telling(t.id, toward_fake=t.opinion.verdict is not Verdict.REAL)
        )

    def snapshot(self, only: Container[int] | None = None) -> tuple[tuple[int, Highlight], ...]:
        """Everything kept, each with its side (1 = AI-generated); safe to write on another thread.

        Args:
            only: the tracks whose moments are wanted; None for all.
        """
        return tuple(
            (side, h)
            for side, table in enumerate((self._low, self._high))
            for track, hs in table.items()
            if only is None or track in only
            for h in hs
        )

    def _alone(self, face: ScoredFace) -> ImageU8:
        """The picture of a face, with whoever is beside it made unrecognisable where that is wanted."""
        if not self.redact or not face.others:
            return face.crop
        crop = face.crop.copy()
        for box in face.others:
            pixelate(crop, box)
        return crop

    def load(self, path: Path) -> None:
        """Go on from what :func:`save_highlights` wrote.

        Raises:
            UnmaskError: the file is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as data:
                columns = [data[key] for key in ("side", "track", "time_s", "logit", "crop", "evidence")]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            raise UnmaskError(f"{path}: missing or damaged; scan anew without --resume") from None
        for side, track, time_s, logit, crop, evidence in zip(*columns, strict=True):
            for table in (self._low, self._high):
                table.setdefault(int(track), [])
            (self._high if side else self._low)[int(track)].append(
                Highlight(int(track), float(time_s), float(logit), crop, evidence)
            )


def _pixelated(highlight: Highlight) -> Highlight:
    crop = highlight.crop.copy()
    pixelate(crop, Box(0, 0, crop.shape[1], crop.shape[0]))
    return replace(highlight, crop=crop)


def save_highlights(path: Path, kept: tuple[tuple[int, Highlight], ...]) -> None:
    """Write a snapshot to an ``.npz`` of plain arrays.

    Raises:
        UnmaskError: it cannot be written.
    """
    with whole_file(path, ANOTHER_PROJECT) as partial:
        np.savez(
            partial,
            side=np.asarray([s for s, _ in kept], np.int64),
            track=np.asarray([h.track for _, h in kept], np.int64),
            time_s=np.asarray([h.time_s for _, h in kept], np.float64),
            logit=np.asarray([h.logit for _, h in kept], np.float64),
            crop=np.asarray([h.crop for _, h in kept], np.uint8),
            evidence=np.asarray([h.evidence for _, h in kept], np.float32),
        )
