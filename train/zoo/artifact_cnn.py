"""The wide and shallow CNN of the ArtiFact study: 39,742,082 parameters at 200 px, always from scratch."""

from __future__ import annotations

from pathlib import Path

import keras

from app.models.layers import LogitDifference


def build(size: int, imagenet: Path | None) -> keras.Model:
    """The model: uint8 RGB (N, size, size, 3) -> float32 logit (N, 1).

    The study ends in a softmax of two. The logit is the difference of the two before it: its sigmoid is the softmax's
    second output, and no parameter changes.

    Args:
        size: side of the crops, pixels; at least 32, meant for 200. Nearly all parameters grow with its square.
        imagenet: not used: there are no such weights.
    """
    inputs = keras.Input((size, size, 3), dtype="uint8", name="crop")
    x = keras.layers.Rescaling(1 / 255, name="scaling")(inputs)
    x = keras.layers.Conv2D(32, 4, activation="relu", name="conv")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(32, activation="relu", name="dense")(x)
    two = keras.layers.Dense(2, dtype="float32", name="real_and_fake")(x)
    return keras.Model(inputs, LogitDifference(dtype="float32", name="logit")(two), name="artifact_cnn")
