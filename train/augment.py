"""Augmentation that takes the cues of how a picture was stored away from both classes alike."""

from __future__ import annotations

import cv2
import numpy as np

from app.core.crops import crop_face
from app.core.records import Box, ImageU8

_INTERPOLATIONS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


def jittered(box: Box, rng: np.random.Generator, scale: float = 0.15, shift: float = 0.06) -> Box:
    """Another box a detector might have given: its size times up to ``1 +- scale``, moved by up to ``shift`` sizes."""
    factor = float(np.exp(rng.uniform(np.log1p(-scale), np.log1p(scale))))
    cx, cy = box.centre
    cx += float(rng.uniform(-shift, shift)) * box.width
    cy += float(rng.uniform(-shift, shift)) * box.height
    w, h = box.width * factor / 2, box.height * factor / 2
    return Box(cx - w, cy - h, cx + w, cy + h)


def rescaled(image: ImageU8, box: Box, rng: np.random.Generator, smallest: float) -> tuple[ImageU8, Box]:
    """The picture shrunk to between ``smallest`` and 1 of its size, as sites and cameras do, and its box with it."""
    factor = float(rng.uniform(smallest, 1.0))
    height, width = image.shape[:2]
    size = (max(16, round(width * factor)), max(16, round(height * factor)))
    small = cv2.resize(image, size, interpolation=int(rng.choice(_INTERPOLATIONS)))
    sx, sy = size[0] / width, size[1] / height
    return np.asarray(small, np.uint8), Box(box.x0 * sx, box.y0 * sy, box.x1 * sx, box.y1 * sy)


def jpeg(image: ImageU8, quality: int) -> ImageU8:
    """The picture after JPEG at ``quality`` in [1, 100]."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def webp(image: ImageU8, quality: int) -> ImageU8:
    """The picture after lossy WebP at ``quality`` in [1, 100]."""
    _, data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def coloured(image: ImageU8, rng: np.random.Generator) -> ImageU8:
    """Brightness, contrast, gamma, saturation and white balance as cameras vary."""
    x = image.astype(np.float32) / 255.0
    x = np.power(x, float(rng.uniform(0.75, 1.35)))
    x = (x - 0.5) * float(rng.uniform(0.75, 1.25)) + 0.5 + float(rng.uniform(-0.1, 0.1))
    grey = x.mean(axis=2, keepdims=True)
    x = grey + (x - grey) * float(rng.uniform(0.5, 1.4))
    x *= rng.uniform(0.93, 1.07, size=3).astype(np.float32)
    return np.asarray(np.clip(x * 255.0 + 0.5, 0, 255), np.uint8)


def noisy(image: ImageU8, rng: np.random.Generator) -> ImageU8:
    """Sensor noise of standard deviation 1 to 8 grey levels."""
    noise = rng.normal(0.0, float(rng.uniform(1.0, 8.0)), size=image.shape)
    return np.asarray(np.clip(image + noise + 0.5, 0, 255), np.uint8)


def training_crop(image: ImageU8, box: Box, rng: np.random.Generator, size: int, scale: float) -> ImageU8:
    """One training crop: the picture is degraded first, as before it reached anyone, then cropped as the app crops.

    Half of the crops see only the box jitter and the mirror, so that the clean picture stays in.

    Args:
        image: uint8 BGR (H, W, 3).
        box: the face, pixels.
        rng: decides everything; the same state gives the same crop.
        size: side of the crop, pixels.
        scale: side of the crop over the box.

    Returns:
        uint8 RGB (size, size, 3).
    """
    box = jittered(box, rng)
    if rng.random() < 0.5:
        if rng.random() < 0.4:
            image = coloured(image, rng)
        if rng.random() < 0.5:
            image, box = rescaled(image, box, rng, smallest=0.5)
        if rng.random() < 0.2:
            sigma = float(rng.uniform(0.3, 1.5))
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
        if rng.random() < 0.2:
            image = noisy(image, rng)
        if rng.random() < 0.6:
            quality = int(rng.integers(30, 98))
            image = webp(image, quality) if rng.random() < 0.2 else jpeg(image, quality)
    crop = crop_face(image, box, size, scale)
    if rng.random() < 0.5:
        crop = np.ascontiguousarray(crop[:, ::-1])
    return crop
