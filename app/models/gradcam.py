"""Evidence maps -> heatmaps in [0, 1], and heatmaps over crops."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from app.core.records import ImageU8

Floats = npt.NDArray[np.float32]


def heatmap(evidence: Floats, size: int, *, toward_fake: bool) -> Floats:
    """Where the model found what speaks for its answer.

    Args:
        evidence: (h, w), each place's share in the logit; positive speaks for "AI-generated".
        size: side of the result, pixels.
        toward_fake: show what speaks for "AI-generated"; else what speaks for "real".

    Returns:
        float32 (size, size) in [0, 1], 1 at the strongest place; all 0 where nothing speaks that way.
    """
    positive = np.maximum(evidence if toward_fake else -evidence, 0).astype(np.float32)
    peak = float(positive.max(initial=0.0))
    if peak <= 0:
        return np.zeros((size, size), np.float32)
    smooth = cv2.resize(positive / peak, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, 0, 1).astype(np.float32)


def blended(crop: ImageU8, heat: Floats) -> ImageU8:
    """The crop under its heatmap: uint8 RGB, same shape. Viridis is even in lightness and safe for the colour-blind."""
    colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    colours = cv2.cvtColor(colours, cv2.COLOR_BGR2RGB).astype(np.float32)
    weight = 0.15 + 0.45 * heat[..., None]
    return np.asarray(crop * (1 - weight) + colours * weight + 0.5, np.uint8)
