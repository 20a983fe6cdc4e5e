"""A plain CNN for pictures in high resolution: 1,551,489 parameters, always from scratch."""

from __future__ import annotations

from pathlib import Path

import keras


def build(size: int, imagenet: Path | None) -> keras.Model:
    """The model: uint8 RGB (N, size, size, 3) -> float32 logit (N, 1).

    Args:
        size: side of the crops, pixels; at least 32, meant for 1024. The parameters do not depend on it.
        imagenet: not used: there are no such weights.
    """
    inputs = keras.Input((size, size, 3), dtype="uint8", name="crop")
    x = keras.layers.Rescaling(1 / 255, name="scaling")(inputs)
    for i, filters in enumerate((64, 128, 256, 512)):
        if i:
            x = keras.layers.MaxPooling2D(name=f"pool{i}")(x)
        # He et al. 2015. From Glorot's, half as wide, the loss can stay at that of chance for thousands of steps.
        conv = keras.layers.Conv2D(
            filters, 3, padding="same", activation="relu", kernel_initializer="he_normal", name=f"conv{i + 1}"
        )
        x = conv(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(1, dtype="float32", name="logit")(x), name="naive_cnn_1024")
