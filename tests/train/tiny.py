"""A model family small enough for tests, with what matters in a real one: batch norm, dropout, one logit."""

from __future__ import annotations

from pathlib import Path

import keras


def build(size: int, imagenet: Path | None) -> keras.Model:
    inputs = keras.Input((size, size, 3), dtype="uint8", name="crop")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = keras.layers.Conv2D(8, 3, strides=2, use_bias=False)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU(name="relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(0.2)(x)
    return keras.Model(inputs, keras.layers.Dense(1, dtype="float32", name="logit")(x), name="tiny")
