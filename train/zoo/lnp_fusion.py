"""Noise and frequency fusion: a backbone on the learned noise pattern, its amplitude and its phase."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from app.models.layers import ChannelAttention, FaceEllipse, Spectrum
from train.zoo.denoiser import fitted_denoiser
from train.zoo.transfer import backbone, logit

_BACKBONES = {"mobilenet_v2": keras.applications.MobileNetV2, "resnet50": keras.applications.ResNet50}


def build(
    size: int,
    imagenet: Path | None,
    *,
    arch: str = "mobilenet_v2",
    mode: int = 0,
    crop_scale: float = 1.5,
    segmenter: str = "landmarks",
    denoiser: str = "dncnn",
) -> keras.Model:
    """The model: uint8 RGB (N, size, size, 3) -> float32 logit (N, 1).

    The learned noise pattern (LNP, 3 channels) comes from a frozen denoiser inside the model, A and P (1 channel each)
    are amplitude and phase of its spectrum. The five channels reach the backbone as

    - mode 0: concat(channel attention(A, P), LNP),
    - mode 1: channel attention(concat(A, P, LNP)),
    - mode 2: concat(A, P, LNP).

    Args:
        size: side of the crops, pixels; at least 32. Best near the pictures' own resolution, which keeps their noise.
        imagenet: weights of the backbone without top; its first filters of R, G and B serve the LNP, their mean A
            and P, a tenth as loud. None trains from scratch.
        arch: ``mobilenet_v2`` or ``resnet50``.
        mode: 0, 1 or 2.
        crop_scale: side of the crop over the face's box, which says where the face is in it.
        segmenter: ``landmarks`` keeps the noise of the face's ellipse alone; with any other the crops are taken as
            they come, whole or cut out before.
        denoiser: one of :data:`train.zoo.denoiser.DENOISERS`.

    Raises:
        UnmaskError: the denoiser's weights are not there.
    """
    inputs = keras.Input((size, size, 3), dtype="uint8", name="crop")
    lnp, spectrum = noise_and_spectrum(inputs, crop_scale, segmenter, denoiser)
    attention = ChannelAttention(name="channel_attention")
    if mode == 0:
        five = keras.layers.Concatenate(name="fusion")([attention(spectrum), lnp])
    else:
        five = keras.layers.Concatenate(name="fusion")([spectrum, lnp])
        if mode == 1:
            five = attention(five)
    features = backbone(_BACKBONES[arch], five, imagenet, flipped=arch == "resnet50")
    return keras.Model(inputs, logit(features), name="lnp_fusion")


def noise_and_spectrum(crops: Any, crop_scale: float, segmenter: str, denoiser: str) -> tuple[Any, Any]:
    """The learned noise pattern and its spectrum, as tensors of a model under construction.

    Args:
        crops: uint8 RGB (N, S, S, 3); the other arguments are those of :func:`build`.

    Returns:
        LNP, float32 (N, S, S, 3), in grey levels around 0; amplitude and phase, float32 (N, S, S, 2).
    """
    pictures = keras.layers.Rescaling(1 / 255, dtype="float32", name="scaling")(crops)
    noise = fitted_denoiser(denoiser)(pictures)
    if segmenter == "landmarks":
        # After the denoiser: the face's noise is the same, and the mask's edge makes none.
        noise = FaceEllipse(crop_scale, dtype="float32", name="face")(noise)
    # In units of a pixel all five channels are of the order of 1, and need no further scaling.
    lnp = keras.layers.Rescaling(255.0, dtype="float32", name="lnp")(noise)
    return lnp, Spectrum(name="amplitude_and_phase")(lnp)
