"""Box arithmetic and THE face crop: training pictures, live frames and scans all go through here."""

from __future__ import annotations

import cv2
import numpy as np

from app.core.records import Box, Detection, ImageU8, Quality


def square_around(box: Box, scale: float) -> tuple[int, int, int]:
    """The square that a crop shows: left, top and side in whole pixels.

    Args:
        box: the face's box, pixels.
        scale: side of the square over the longer side of the box, > 0.
    """
    if scale <= 0:
        raise ValueError(f"crop scale must be positive, got {scale}")
    side = max(1, round(max(box.width, box.height) * scale))
    cx, cy = box.centre
    return round(cx - side / 2), round(cy - side / 2), side


def crop_face(image: ImageU8, box: Box, size: int, scale: float) -> ImageU8:
    """Cut the square around a face and resize it for the classifier.

    Area averaging shrinks and bicubic interpolation enlarges, so that neither aliases. What lies beyond the
    picture's edge is mirrored: a black border would tell the classifier how the picture was framed.

    Args:
        image: uint8 BGR (H, W, 3).
        box: the face, pixels of ``image``.
        size: side of the result, pixels.
        scale: see :func:`square_around`.

    Returns:
        uint8 RGB (size, size, 3), contiguous.

    Raises:
        ValueError: the square does not touch the picture.
    """
    height, width = image.shape[:2]
    left, top, side = square_around(box, scale)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"the square at ({left}, {top}) of side {side} lies outside the {width}x{height} picture")
    patch: cv2.typing.MatLike = image[y0:y1, x0:x1]
    if (y1 - y0, x1 - x0) != (side, side):
        patch = cv2.copyMakeBorder(
            patch, y0 - top, top + side - y1, x0 - left, left + side - x1, cv2.BORDER_REFLECT_101
        )
    if side != size:
        patch = cv2.resize(patch, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC)
    return np.ascontiguousarray(cv2.cvtColor(patch, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def yaw_of(detection: Detection) -> float:
    """How far a face is turned: 0 facing the camera, 1 where the nose tip lies level with an eye or beyond it.

    Measured along the line between the eyes, so that a tilted head does not count as a turned one. Returns 0
    for a detection without keypoints.
    """
    if not detection.keypoints:
        return 0.0
    right, left, nose = (np.asarray(p, dtype=np.float64) for p in detection.keypoints[:3])
    axis = left - right
    length = float(np.hypot(*axis))
    if length < 1e-6:
        return 1.0
    along = float(np.dot(nose - right, axis)) / length**2
    return min(1.0, abs(along - 0.5) * 2)


def measure_quality(crop: ImageU8, detection: Detection) -> Quality:
    """Measure what the quality gates need, on a crop made by :func:`crop_face`.

    Sharpness is the standard deviation of the Laplacian over that of the grey levels, on a fixed 112 px copy:
    relative to contrast, so that a dim face does not count as a blurred one.
    """
    grey = cv2.cvtColor(cv2.resize(crop, (112, 112), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    contrast = float(grey.std())
    edges = float(cv2.Laplacian(grey, cv2.CV_32F).std())
    return Quality(
        size_px=detection.box.size,
        sharpness=edges / contrast if contrast > 1.0 else 0.0,
        brightness=float(grey.mean()),
        yaw=yaw_of(detection),
    )
