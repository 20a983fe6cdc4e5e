"""Logistic regression on the pixels: the least that a model can do, always from scratch."""

from __future__ import annotations

from pathlib import Path

import keras


def build(size: int, imagenet: Path | None) -> keras.Model:
    """The model: uint8 RGB (N, size, size, 3) -> float32 logit (N, 1), one weight a pixel and channel.

    Args:
        size: side of the crops, pixels; at least 32.
        imagenet: not used: there are no such weights.
    """
    inputs = keras.Input((size, size, 3), dtype="uint8", name="crop")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scaling")(inputs)
    x = keras.layers.Flatten(name="flatten")(x)
    # From zero, as the loss is convex: no start is better, and the weights stay free of noise that one sees in the map.
    x = keras.layers.Dense(1, kernel_initializer="zeros", dtype="float32", name="logit")(x)
    return keras.Model(inputs, x, name="logistic_regression")
