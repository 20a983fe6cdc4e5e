"""Transfer learning from Keras Applications: what its families have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from app.core.errors import UnmaskError

QUIET = 0.1
"""How loud channels begin that ImageNet's weights know nothing of. A phase is mostly noise: as loud as the others it
drowned them for epochs (docs/training.md)."""


MOMENTUM = 0.99
"""Of batch normalization's moving averages at most. MobileNetV2 comes with 0.999, for ImageNet's ten thousand steps an
epoch; here most of what it had seen before the training would still be in them at its end."""


def classifier(
    name: str,
    application: Callable[..., keras.Model],
    size: int,
    imagenet: Path | None,
    *,
    scale: float | Sequence[float],
    offset: float | Sequence[float],
    flipped: bool = False,
) -> keras.Model:
    """A backbone with one logit on top: uint8 RGB (N, size, size, 3) -> float32 logit (N, 1).

    ImageNet's scaling is a layer inside, so that nobody can forget it.

    Args:
        application: of ``keras.applications``.
        size: side of the crops, pixels.
        imagenet: weights of the part without top, in Keras's format; None trains from scratch.
        scale: what a pixel, [0, 255], is multiplied by; one for all channels or one each.
        offset: what is added then.
        flipped: the weights are for BGR; scaling stays that of RGB.
    """
    inputs = keras.Input((size, size, 3), dtype="uint8", name="crop")
    scaled = keras.layers.Rescaling(scale=scale, offset=offset, name="imagenet_scaling")(inputs)
    return keras.Model(inputs, logit(backbone(application, scaled, imagenet, flipped=flipped)), name=name)


def backbone(
    application: Callable[..., keras.Model], tensor: Any, imagenet: Path | None, *, flipped: bool = False
) -> Any:
    """The last feature map of ``application`` on ``tensor`` (N, size, size, C), C >= 3.

    With more than three channels the last three take the filters of R, G and B, the others :data:`QUIET` times their
    mean.

    Args:
        imagenet: as in :func:`classifier`.
        flipped: as in :func:`classifier`.

    Raises:
        UnmaskError: ``imagenet`` is no file of such weights.
    """
    # Built on our tensor instead of nested as one layer: the evidence map then reaches its last feature map.
    model = application(include_top=False, weights=None, input_tensor=tensor)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, MOMENTUM)
    if imagenet is not None:
        weights = _published(application, imagenet)
        weights[0] = _widened(weights[0][:, :, ::-1] if flipped else weights[0], tensor.shape[-1])
        # Without the layers before the tensor, which may have weights too.
        keras.Model(tensor, model.output).set_weights(weights)
    return model.output


def _published(application: Callable[..., keras.Model], imagenet: Path) -> list[Any]:
    """The weights of ``application`` without its top, from a file with or without it.

    Raises:
        UnmaskError: it has no such weights.
    """
    reason = ""
    for top in (False, True):
        plain = application(include_top=top, weights=None)
        try:
            plain.load_weights(imagenet)
        except (ValueError, OSError, KeyError) as error:  # whatever the readers inside Keras come to
            reason = reason or next(iter(str(error).strip().splitlines()), type(error).__name__)
            continue
        return list(plain.get_weights()[: -2 if top else None])
    raise UnmaskError(
        f"{imagenet}: not the ImageNet weights of {application.__name__} ({reason}); "
        "get them with ./fetch_weights.sh, or train from scratch with --imagenet none"
    )


def start_from(model: keras.Model, earlier: keras.Model) -> None:
    """Copy the weights of an earlier model: of the same family, or of the family of ``model``'s backbone.

    The input size may be another one. Of a plain backbone's model the first filters are taken as in :func:`backbone`.

    Raises:
        ValueError: the two do not match.
    """
    if earlier.name == model.name:
        model.set_weights(earlier.get_weights())
        return
    for layer in earlier.layers:
        weights = layer.get_weights()
        if weights:
            own = model.get_layer(layer.name)
            if weights[0].ndim == 4 and weights[0].shape[2] == 3 < own.weights[0].shape[2]:
                weights[0] = _widened(weights[0], own.weights[0].shape[2])
            own.set_weights(weights)


def _widened(filters: Any, channels: int) -> Any:
    """Filters (h, w, 3, F) of R, G and B, for (h, w, ``channels``, F): those, behind quiet ones for what is new."""
    return np.concatenate([QUIET * filters.mean(axis=2, keepdims=True)] * (channels - 3) + [filters], axis=2)


def logit(features: Any) -> Any:
    """Global average pooling, dropout and one float32 unit: (N, h, w, C) -> (N, 1)."""
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    dropped = keras.layers.Dropout(0.3, name="dropout")(pooled)
    return keras.layers.Dense(1, dtype="float32", name="logit")(dropped)
