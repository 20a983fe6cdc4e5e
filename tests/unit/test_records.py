"""Records refuse what no stage could mean."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.records import Box, Detection, Frame, Opinion, Verdict

COORDINATE = st.floats(-5000, 5000, width=32)
SIDE = st.floats(0.5, 4000, width=32)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x, y, w, h = draw(COORDINATE), draw(COORDINATE), draw(SIDE), draw(SIDE)
    return Box(x, y, x + w, y + h)


@pytest.mark.parametrize(
    "corners", [(0, 0, 0, 5), (0, 0, 5, 0), (3, 0, 2, 5), (0, 0, math.inf, 5), (math.nan, 0, 1, 1), (0, 0, 5, -1)]
)
def test_box_without_area_is_refused(corners: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="box"):
        Box(*corners)


def test_box_measures() -> None:
    box = Box(10, 20, 40, 60)
    assert (box.width, box.height, box.size, box.centre) == (30, 40, 30, (25, 40))
    assert Box(1.234, 2.345, 10.006, 20.001).rounded().xyxy == (1.23, 2.35, 10.01, 20.0)


@given(boxes(), boxes())
def test_iou_is_symmetric_and_bounded(a: Box, b: Box) -> None:
    assert a.iou(b) == b.iou(a)
    assert 0 <= a.iou(b) <= 1


@given(boxes())
def test_iou_of_a_box_with_itself_is_one(box: Box) -> None:
    assert box.iou(box) == pytest.approx(1)


@given(boxes(), st.floats(1, 100))
def test_iou_of_boxes_apart_is_zero(box: Box, gap: float) -> None:
    assert box.iou(Box(box.x1 + gap, box.y0, box.x1 + gap + 1, box.y1)) == 0


def test_iou_of_known_boxes() -> None:
    assert Box(0, 0, 2, 2).iou(Box(1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert Box(0, 0, 4, 4).iou(Box(1, 1, 3, 3)) == pytest.approx(1 / 4)


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)],
    ids=["grey", "four channels", "float"],
)
def test_frame_is_uint8_bgr(image: Any) -> None:
    with pytest.raises(ValueError, match="uint8"):
        Frame(0, 0.0, image)


@pytest.mark.parametrize(("index", "time_s"), [(-1, 0.0), (0, math.nan), (0, math.inf)])
def test_frame_has_a_place_in_time(index: int, time_s: float) -> None:
    with pytest.raises(ValueError, match="index"):
        Frame(index, time_s, np.zeros((2, 2, 3), np.uint8))


@pytest.mark.parametrize("confidence", [-0.01, 1.01, math.nan])
def test_detection_confidence_is_a_share(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        Detection(Box(0, 0, 1, 1), confidence)


def test_detection_has_six_keypoints_or_none() -> None:
    assert len(Detection(Box(0, 0, 1, 1), 0.5, ((0.0, 0.0),) * 6).keypoints) == 6
    with pytest.raises(ValueError, match="6 keypoints"):
        Detection(Box(0, 0, 1, 1), 0.5, ((0.0, 0.0),) * 5)


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_opinion_needs_a_probability(p: float) -> None:
    with pytest.raises(ValueError, match="p_fake"):
        Opinion(Verdict.FAKE, p, "")
    assert Opinion(Verdict.UNCERTAIN, None, "").p_fake is None


def test_verdicts_have_words_for_people() -> None:
    assert [v.words for v in (Verdict.REAL, Verdict.FAKE, Verdict.UNCERTAIN)] == ["REAL", "AI-GENERATED", "CAN'T TELL"]
