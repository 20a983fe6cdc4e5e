"""The policy of training crops: which degradations, how often, alike for both classes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from app.core.crops import crop_face
from app.core.records import Box, ImageU8
from train import degrade

JITTER_SCALE, JITTER_SHIFT = 0.15, 0.06


@dataclass(frozen=True, slots=True)
class Policy:
    """How training crops are made.

    Attributes:
        size: side of the crops, pixels.
        scale: side of the crop over the longer side of the box.
        scale_range: the scale is drawn between ``scale / scale_range`` and ``scale * scale_range``; 1 keeps it.
        strength: 0 leaves only the box jitter and the mirror, 1 degrades two thirds of the crops.
        h264: share of the crops that go through H.264, [0, 1].
    """

    size: int
    scale: float
    scale_range: float = 1.0
    strength: float = 1.0
    h264: float = 0.0


def jittered(box: Box, rng: np.random.Generator, scale: float = JITTER_SCALE, shift: float = JITTER_SHIFT) -> Box:
    """Another box a detector might have given: its size times up to ``1 +- scale``, moved by up to ``shift`` sizes."""
    factor = float(np.exp(rng.uniform(np.log1p(-scale), np.log1p(scale))))
    cx, cy = box.centre
    cx += float(rng.uniform(-shift, shift)) * box.width
    cy += float(rng.uniform(-shift, shift)) * box.height
    w, h = box.width * factor / 2, box.height * factor / 2
    return Box(cx - w, cy - h, cx + w, cy + h)


def surroundings(shape: tuple[int, int], box: Box, policy: Policy) -> tuple[slice, slice]:
    """Rows and columns of a picture (H, W) that its training crops can show, and a margin for the filters.

    What a large picture holds beside the face need not be degraded. The cut stays on the grid of 16 pixels in which
    JPEG and H.264 work.
    """
    # The jitter's largest box, as a crop of the largest scale, moved as far as it moves.
    longer = max(box.width, box.height)
    reach = longer * (policy.scale * policy.scale_range * (1 + JITTER_SCALE) / 2 + JITTER_SHIFT) + 16
    spans = []
    for middle, side in zip(reversed(box.centre), shape, strict=True):
        first = min(max(0, int(middle - reach) // 16 * 16), max(0, side - 16))
        spans.append(slice(first, max(first + 16, min(side, -int(-(middle + reach) // 16) * 16))))
    return spans[0], spans[1]


def degraded(
    image: ImageU8, box: Box, rng: np.random.Generator, policy: Policy, other: ImageU8 | None = None
) -> tuple[ImageU8, Box]:
    """The picture as it may reach a person, and its box: light and lens, retouching, size, noise, compression, in turn.

    Args:
        other: a picture of the other class, whose colours this one takes now and then.
    """
    if rng.random() >= 2 / 3 * policy.strength:
        return image, box
    if other is not None:
        image = degrade.toned_like(image, other)
    elif rng.random() < 0.35:
        image = degrade.coloured(image, rng)
    retouched = rng.random()
    if retouched < 0.2:
        image = degrade.sharpened(image, rng)
    elif retouched < 0.3:
        image = degrade.smoothed(image, rng)
    if rng.random() < 0.06:
        image = degrade.screen_captured(image, rng)
    if rng.random() < 0.5:
        image, box = degrade.rescaled(image, box, rng, smallest=0.4)
    elif rng.random() < 0.2:
        image = degrade.resampled(image, rng)
    if rng.random() < 0.2:
        image = degrade.blurred(image, rng)
    if rng.random() < 0.2:
        image = degrade.noisy(image, rng)
    if rng.random() < 0.1:
        image = degrade.occluded(image, box, rng)
    if rng.random() < 0.6:
        quality = int(rng.integers(30, 98))
        image = degrade.webp(image, quality) if rng.random() < 0.2 else degrade.jpeg(image, quality)
    return image, box


def training_crop(image: ImageU8, box: Box, rng: np.random.Generator, policy: Policy) -> ImageU8:
    """The app's crop with another box and another scale, half of them mirrored: uint8 RGB (size, size, 3)."""
    spread = float(np.log(policy.scale_range))
    scale = policy.scale * float(np.exp(rng.uniform(-spread, spread)))
    crop = crop_face(image, jittered(box, rng), policy.size, scale)
    return cv2.flip(crop, 1).astype(np.uint8, copy=False) if rng.random() < 0.5 else crop
