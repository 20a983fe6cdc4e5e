"""What is drawn on a frame: seen, in its colour, and never beyond the frame's edge."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.records import Box, Detection, FaceResult, FrameResult, Opinion, Verdict
from app.vision import overlay
from app.vision.overlay import COLOURS, draw, draw_face

VERDICTS = st.sampled_from([(Verdict.REAL, 0.03), (Verdict.FAKE, 0.97), (Verdict.UNCERTAIN, None)])


def _face(box: Box, verdict: Verdict = Verdict.FAKE, p: float | None = 0.9, track: int = 1) -> FaceResult:
    return FaceResult(track, Detection(box, 0.9), None, None, Opinion(verdict, p, ""))


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_box_has_the_colour_of_its_verdict(verdict: Verdict) -> None:
    image = np.full((360, 640, 3), 128, np.uint8)
    draw_face(image, _face(Box(200, 150, 300, 250), verdict))
    for y, x in ((200, 200), (200, 300), (250, 250)):
        assert tuple(image[y, x]) == COLOURS[verdict]
    assert (image[190:210, 240:260] == 128).all(), "the face itself is left alone"
    assert (image[300:] == 128).all()


def test_the_words_are_those_of_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    monkeypatch.setattr(overlay.cv2, "putText", lambda _image, text, *_: texts.append(text))
    image = np.zeros((360, 640, 3), np.uint8)
    box = Box(200, 150, 300, 250)
    faces = (_face(box, Verdict.REAL, 0.031), _face(box, Verdict.FAKE, 0.97, 2), _face(box, Verdict.UNCERTAIN, None, 3))
    draw(image, FrameResult(0, 0.0, faces))
    # The largest face comes first in the result, so it is drawn last, on top.
    assert texts == ["3 CAN'T TELL", "2 AI-GENERATED  AI 97%", "1 REAL  AI 3%"]


def test_the_bar_is_as_long_as_the_probability() -> None:
    image = np.full((360, 640, 3), 128, np.uint8)
    draw_face(image, _face(Box(100, 150, 500, 350), p=0.25))
    row = image[148]
    assert tuple(row[100 + 90]) == (255, 255, 255)
    assert tuple(row[100 + 110]) == (40, 40, 40)


@settings(max_examples=80)
@given(
    st.integers(1, 400),
    st.integers(1, 400),
    st.tuples(*[st.floats(-3000, 3000)] * 2, *[st.floats(0.1, 3000)] * 2),
    VERDICTS,
)
def test_no_box_is_too_odd_to_draw(
    height: int, width: int, place: tuple[float, float, float, float], verdict: tuple[Verdict, float | None]
) -> None:
    x, y, w, h = place
    image = np.zeros((height, width, 3), np.uint8)
    draw_face(image, _face(Box(x, y, x + w, y + h), *verdict))
    assert image.shape == (height, width, 3)


def test_a_frame_of_one_pixel_can_be_drawn_on() -> None:
    image = np.zeros((1, 1, 3), np.uint8)
    draw(image, FrameResult(0, 0.0, (_face(Box(0, 0, 1, 1)),)))
    assert image.any()


@settings(max_examples=80)
@given(
    st.integers(240, 900),
    st.integers(320, 900),
    st.tuples(*[st.floats(-1200, 1200)] * 2, *[st.floats(1, 1200)] * 2),
    VERDICTS,
)
def test_the_label_stays_inside(
    height: int, width: int, place: tuple[float, float, float, float], verdict: tuple[Verdict, float | None]
) -> None:
    x, y, w, h = place
    image = np.zeros((height, width, 3), np.uint8)
    labels: list[tuple[float, ...]] = []

    def put_text(_: Any, text: str, origin: tuple[int, int], font: int, scale: float, *rest: Any) -> None:
        thick = rest[1]
        (tw, th), base = cv2.getTextSize(text, font, scale, thick)
        labels.append((origin[0], origin[1] - th, origin[0] + tw, origin[1] + base))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlay.cv2, "putText", put_text)
        draw_face(image, _face(Box(x, y, x + w, y + h), *verdict, track=12))
    [(x0, y0, x1, y1)] = labels
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height
