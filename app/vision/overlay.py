"""Draws a result on a frame."""

from __future__ import annotations

import cv2

from app.core.records import FaceResult, FrameResult, ImageU8, Verdict

# Okabe and Ito's palette (2008): told apart by the colour-blind. BGR.
COLOURS: dict[Verdict, tuple[int, int, int]] = {
    Verdict.REAL: (178, 114, 0),
    Verdict.FAKE: (0, 94, 213),
    Verdict.UNCERTAIN: (66, 228, 240),
}
_INK: dict[Verdict, tuple[int, int, int]] = {
    Verdict.REAL: (255, 255, 255),
    Verdict.FAKE: (255, 255, 255),
    Verdict.UNCERTAIN: (0, 0, 0),
}
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(image: ImageU8, result: FrameResult) -> None:
    """Draw boxes with id, verdict, probability and a bar onto ``image`` (uint8 BGR), in place."""
    for face in reversed(result.faces):
        draw_face(image, face)


def draw_face(image: ImageU8, face: FaceResult) -> None:
    """Draw one face's box, label and bar. The verdict is told by words and line style too, never by colour alone."""
    height, width = image.shape[:2]
    verdict, p = face.opinion.verdict, face.opinion.p_fake
    colour = COLOURS[verdict]
    unit = max(1, round(min(height, width) / 360))
    x0, y0, x1, y1 = (round(v) for v in face.detection.box.xyxy)
    cv2.rectangle(image, (x0, y0), (x1, y1), (0, 0, 0), unit + 2)
    cv2.rectangle(image, (x0, y0), (x1, y1), colour, unit)

    # "REAL 3%" would read as 3 % real: the number always says what it is the probability of.
    text = f"{face.track} {verdict.words}" + ("" if p is None else f"  AI {_percent(p)}")
    scale = 0.45 * unit
    (tw, th), base = cv2.getTextSize(text, _FONT, scale, unit)
    pad, bar = 3 * unit, 3 * unit
    label_w, label_h = max(tw + 2 * pad, x1 - x0), th + base + 2 * pad + bar
    left = min(max(0, x0), max(0, width - label_w))
    # Above the box, or inside it where the picture ends there; never beyond the picture.
    top = max(0, min(y0 - label_h if y0 >= label_h else y0, height - label_h))
    cv2.rectangle(image, (left, top), (left + label_w, top + label_h), colour, cv2.FILLED)
    cv2.putText(image, text, (left + pad, top + pad + th), _FONT, scale, _INK[verdict], unit, cv2.LINE_AA)
    _draw_bar(image, left, top + label_h - bar, label_w, bar, p)


def _percent(p: float) -> str:
    """Short, in the characters of OpenCV's font, and never a certainty: see :func:`app.core.scoring.percent`."""
    return "<1%" if p < 0.01 else ">99%" if p > 0.99 else f"{p * 100:.0f}%"


def _draw_bar(image: ImageU8, x: int, y: int, width: int, height: int, p: float | None) -> None:
    """The probability of "AI-generated" as a filled share of the label's width."""
    cv2.rectangle(image, (x, y), (x + width, y + height), (40, 40, 40), cv2.FILLED)
    if p is not None:
        cv2.rectangle(image, (x, y), (x + round(width * p), y + height), (255, 255, 255), cv2.FILLED)
