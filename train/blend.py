"""Fakes made from photographs: self-blended images (Shiohara and Yamasaki, CVPR 2022).

A face is blended with a transformed copy of itself inside a mask that follows its key points. Photographs alone then
teach what a face swap leaves behind: an edge, and two histories of processing in one picture. And as every source of
photographs stands on both sides, no source gives the label away.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from app.core.records import Box, ImageU8
from train import degrade

Mask = npt.NDArray[np.float32]
Points = tuple[tuple[float, float], ...]
BLENDING_RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
"""Of the paper: the mask times one of these, drawn alike."""
MASK_UNIT = 32.0
"""A mask is drawn with at most so many pixels between the eyes: it is soft, and so costs the same on every picture."""


def self_blended(image: ImageU8, box: Box, keypoints: Points, rng: np.random.Generator) -> ImageU8:
    """A fake made from the photograph ``image`` alone.

    Args:
        image: uint8 BGR (H, W, 3).
        box: the face, pixels.
        keypoints: six as in :class:`app.core.records.Detection`; empty takes their usual places in the box.

    Returns:
        uint8 BGR (H, W, 3).
    """
    mask = face_mask(image.shape[:2], box, keypoints, rng)
    mask *= float(rng.choice(BLENDING_RATIOS))
    inner, outer = image, image
    # As in the paper either side may carry the transformation, so that neither is always the clean one.
    if rng.random() < 0.5:
        inner = transformed(image, rng)
    else:
        outer = transformed(image, rng)
    return mixed(_moved(inner, box, rng), outer, mask)


def mixed(inner: ImageU8, outer: ImageU8, mask: Mask) -> ImageU8:
    """``inner`` where the mask is 1, ``outer`` where it is 0: uint8 (H, W, 3)."""
    return np.asarray(cv2.blendLinear(inner, outer, mask, 1 - mask), np.uint8)


def transformed(image: ImageU8, rng: np.random.Generator) -> ImageU8:
    """The copy: other colours, then other detail."""
    image = degrade.coloured(image, rng) if rng.random() < 0.6 else _shifted_colours(image, rng)
    kind = rng.random()
    if kind < 0.45:
        return degrade.resampled(image, rng)
    if kind < 0.7:
        return degrade.sharpened(image, rng)
    if kind < 0.8:
        return degrade.jpeg(image, int(rng.integers(30, 80)))
    return image


def face_mask(shape: tuple[int, int], box: Box, keypoints: Points, rng: np.random.Generator) -> Mask:
    """A soft mask of the face, or of its lower half or its eyes: float32 (H, W) in [0, 1].

    Hull of ellipses around the key points, bent by a smooth random field, and blurred; the paper's hull of 68
    landmarks asks for a landmark model that the app does not carry.
    """
    points = main_points(box, keypoints)
    unit = max(float(np.linalg.norm(points[1] - points[0])), 0.25 * box.width)
    factor = min(1.0, MASK_UNIT / unit)
    small = (max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor)))
    mask = _drawn_mask(small, points * (small[1] / shape[1], small[0] / shape[0]), unit * factor, rng)
    return np.asarray(cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _drawn_mask(shape: tuple[int, int], points: npt.NDArray[np.float64], unit: float, rng: np.random.Generator) -> Mask:
    right_eye, left_eye, nose, mouth = points
    across = left_eye - right_eye
    down = mouth - (right_eye + left_eye) / 2
    eyes_middle = (right_eye + left_eye) / 2
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    kind = rng.random()
    if kind < 0.6:  # the whole face, forehead to chin
        centre = (nose + eyes_middle + mouth) / 3
        axes = (unit * rng.uniform(0.85, 1.15), max(float(np.linalg.norm(down)), 0.6 * unit) * rng.uniform(1.2, 1.6))
    elif kind < 0.85:  # nose to chin: lip-synced video changes no more
        centre = mouth + down * rng.uniform(-0.1, 0.15)
        axes = (unit * rng.uniform(0.6, 0.95), max(float(np.linalg.norm(down)), 0.6 * unit) * rng.uniform(0.5, 0.8))
    else:  # the eyes' band
        centre = eyes_middle
        axes = (unit * rng.uniform(0.85, 1.1), unit * rng.uniform(0.3, 0.5))
    mask = np.zeros(shape, np.float32)
    cv2.ellipse(mask, (tuple(map(float, centre)), tuple(2 * float(a) for a in axes), angle), (1.0,), -1, cv2.LINE_AA)
    mask = _bent(mask, unit, rng)
    softness = unit * float(rng.choice((0.03, 0.08, 0.16)))
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.8, softness)), np.float32)


def main_points(box: Box, keypoints: Points) -> npt.NDArray[np.float64]:
    """Right eye, left eye, nose, mouth: (4, 2)."""
    if keypoints:
        return np.asarray(keypoints[:4], np.float64)
    places = np.array([(0.3, 0.38), (0.7, 0.38), (0.5, 0.58), (0.5, 0.78)])
    return places * (box.width, box.height) + (box.x0, box.y0)


def _bent(mask: Mask, unit: float, rng: np.random.Generator) -> Mask:
    """Elastic deformation (Simard et al., ICDAR 2003) by a field given on a coarse grid."""
    height, width = mask.shape
    coarse = rng.uniform(-0.22, 0.22, (2, 5, 5)).astype(np.float32) * unit
    dx, dy = (cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC) for field in coarse)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.asarray(cv2.remap(mask, x + dx, y + dy, cv2.INTER_LINEAR, borderValue=0), np.float32)


def _moved(image: ImageU8, box: Box, rng: np.random.Generator) -> ImageU8:
    """The inner face a little out of place: shifted up to 3 %, scaled by up to 4 %, now and then warped."""
    cx, cy = box.centre
    scale = float(rng.uniform(0.96, 1.04))
    matrix = np.asarray(cv2.getRotationMatrix2D((cx, cy), float(rng.uniform(-2, 2)), scale), np.float64)
    matrix[:, 2] += rng.uniform(-0.03, 0.03, 2) * (box.width, box.height)
    height, width = image.shape[:2]
    return np.asarray(
        cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def _shifted_colours(image: ImageU8, rng: np.random.Generator) -> ImageU8:
    """Up to 20 grey levels more or less in each channel, as in the paper."""
    shift = rng.integers(-20, 21, 3)
    table = np.clip(np.arange(256)[:, None] + shift, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[None]), np.uint8)
