"""Pixelating: what is covered, for how long, and that nothing is left of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from app.core.records import Box, FaceResult, FrameResult, ImageU8, Opinion, Verdict
from app.pipeline.highlights import Highlights
from app.vision.analyzer import ScoredFace
from app.vision.redaction import CELLS, HELD_S, Redactor, pixelate

Noise = Callable[..., ImageU8]
BOX = Box(100, 80, 160, 140)


def _result(time_s: float, *verdicts: Verdict) -> FrameResult:
    from app.core.records import Detection

    faces = tuple(
        FaceResult(i, Detection(BOX, 0.9), None, None, Opinion(v, None, "because")) for i, v in enumerate(verdicts, 1)
    )
    return FrameResult(0, time_s, faces)


def test_a_mosaic_keeps_its_cells_only(noise: Noise) -> None:
    image = noise()
    before = image.copy()
    pixelate(image, BOX)
    assert len(np.unique(image[80:140, 100:160].reshape(-1, 3), axis=0)) <= CELLS**2
    changed = np.argwhere((image != before).any(axis=2))
    assert changed.min(axis=0).tolist() >= [65, 85] and changed.max(axis=0).tolist() <= [155, 175]


@pytest.mark.parametrize(
    "box", [Box(-50, -50, 20, 20), Box(300, 220, 900, 900), Box(500, 500, 600, 600), Box(5, 5, 6, 6)]
)
def test_at_the_edge_and_beyond(noise: Noise, box: Box) -> None:
    pixelate(noise(), box)


def test_a_face_stays_covered_while_it_is_lost(noise: Noise) -> None:
    redactor = Redactor()
    redactor.redact(noise(), _result(0.0, Verdict.UNCERTAIN))
    redactor = Redactor(redactor.state())
    for time_s, covered in ((HELD_S, True), (HELD_S + 0.1, False)):
        image = noise()
        redactor.redact(image, _result(time_s))
        assert bool((image != noise()).any()) is covered


def test_a_flagged_face_is_shown_at_once(noise: Noise) -> None:
    redactor, image = Redactor(), noise()
    redactor.redact(noise(), _result(0.0, Verdict.REAL))
    redactor.redact(image, _result(0.1, Verdict.FAKE))
    assert (image == noise()).all()


def test_nobody_beside_a_face_is_kept_with_it(noise: Noise) -> None:
    crop = noise(height=64, width=64)
    face = ScoredFace(1, 0.0, 3.0, crop, np.zeros((2, 2), np.float32), (Box(40, 40, 90, 90),))
    for redact in (True, False):
        kept = Highlights(redact=redact)
        kept.offer(face)
        (moment,) = kept.telling(1, toward_fake=True)
        assert bool((moment.crop[44:, 44:] != crop[44:, 44:]).any()) is redact
        assert (moment.crop[:20, :20] == crop[:20, :20]).all()
