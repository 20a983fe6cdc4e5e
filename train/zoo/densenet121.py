"""DenseNet121 (Huang et al., CVPR 2017) with one logit on top, ImageNet weights where they are present."""

from __future__ import annotations

from pathlib import Path

import keras

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def build(size: int, imagenet: Path | None) -> keras.Model:
    """The model: uint8 RGB (N, size, size, 3) -> float32 logit (N, 1).

    ImageNet's scaling is a layer inside, so that nobody can forget it.

    Args:
        size: side of the crops, pixels; at least 32.
        imagenet: weights of the part without top, in Keras's format; None trains from scratch.
    """
    inputs = keras.Input((size, size, 3), dtype="uint8", name="crop")
    scaled = keras.layers.Rescaling(
        scale=[1 / (255 * s) for s in _STD],
        offset=[-m / s for m, s in zip(_MEAN, _STD, strict=True)],
        name="imagenet_scaling",
    )(inputs)
    # Built on our input instead of nested as one layer: Grad-CAM then reaches its last feature map by name.
    backbone = keras.applications.DenseNet121(include_top=False, weights=None, input_tensor=scaled)
    if imagenet is not None:
        plain = keras.applications.DenseNet121(include_top=False, weights=None, input_shape=(size, size, 3))
        plain.load_weights(imagenet)
        backbone.set_weights(plain.get_weights())
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(backbone.output)
    dropped = keras.layers.Dropout(0.3, name="dropout")(pooled)
    logit = keras.layers.Dense(1, dtype="float32", name="logit")(dropped)
    return keras.Model(inputs, logit, name="densenet121")
