"""Makes faces that nobody flagged unrecognisable in pictures that are kept.

A coarse mosaic and not a blur: a blur keeps what it smears, and can be undone in part; sixteen mean colours keep too
little to tell who somebody is.
"""

from __future__ import annotations

from typing import Any

import cv2

from app.core.records import Box, FrameResult, ImageU8, Verdict

CELLS = 4
"""Cells of the mosaic along each side, whatever the size of the face."""
MARGIN = 1.5
"""Side of what is covered over that of the face's box: hair, chin and ears go too."""
HELD_S = 1.0
"""Seconds for which a face's last place stays covered when the detector loses it."""


def pixelate(image: ImageU8, box: Box) -> None:
    """Replace what lies in and around ``box`` (pixels) by a mosaic, in place; beyond the picture nothing happens.

    Args:
        image: uint8 (H, W, 3), any order of colours.
    """
    height, width = image.shape[:2]
    (cx, cy), w, h = box.centre, box.width * MARGIN / 2, box.height * MARGIN / 2
    x0, y0 = max(0, int(cx - w)), max(0, int(cy - h))
    x1, y1 = min(width, int(cx + w) + 1), min(height, int(cy + h) + 1)
    if x0 >= x1 or y0 >= y1:
        return
    patch = image[y0:y1, x0:x1]
    cells = cv2.resize(patch, (min(CELLS, x1 - x0), min(CELLS, y1 - y0)), interpolation=cv2.INTER_AREA)
    image[y0:y1, x0:x1] = cv2.resize(cells, (x1 - x0, y1 - y0), interpolation=cv2.INTER_NEAREST)


class Redactor:
    """Pixelates every face of a stream's frames that is not AI-GENERATED at that moment, unsettled ones too.

    Args:
        state: of an earlier one that this one goes on from.
    """

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        # Track -> where and when it was last seen unflagged.
        self._held = {int(track): (Box(*box), float(at)) for track, (box, at) in (state or {}).items()}

    def redact(self, image: ImageU8, result: FrameResult) -> None:
        """Change ``image`` (uint8 BGR), the frame of ``result``, in place. Frames come in order of time."""
        for face in result.faces:
            if face.opinion.verdict is Verdict.FAKE:
                self._held.pop(face.track, None)
            else:
                self._held[face.track] = (face.detection.box, result.time_s)
        self._held = {t: (box, at) for t, (box, at) in self._held.items() if result.time_s - at <= HELD_S}
        for box, _ in self._held.values():
            pixelate(image, box)

    def state(self) -> dict[str, Any]:
        """All there is to know, as JSON."""
        return {str(track): (box.xyxy, at) for track, (box, at) in self._held.items()}
