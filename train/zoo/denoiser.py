"""Denoisers: the learned noise pattern (LNP) of a picture is what they would take away."""

from __future__ import annotations

from pathlib import Path

import keras

from app.core.errors import UnmaskError
from train.zoo.cycleisp import cycleisp

_WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
DENOISERS = {
    "dncnn": (_WEIGHTS / "lnp-denoiser" / "denoiser.weights.h5", "python -m train fit-denoiser"),
    "cycleisp": (_WEIGHTS / "cycleisp" / "denoiser.weights.h5", "python -m train convert-cycleisp --from sidd_rgb.pth"),
}
"""By name: where the weights lie, and the command that makes them."""
DEPTH, WIDTH = 7, 24


def denoiser(name: str = "denoiser") -> keras.Model:
    """A DnCNN (Zhang et al., TIP 2017) of 7 convolutions and 27,363 parameters, without batch norm.

    float32 RGB (N, H, W, 3) in [0, 1] -> the noise in it, float32 (N, H, W, 3) around 0: picture less denoised
    picture, thus minus the residual that a denoiser adds. It computes in float32 whatever the policy: the noise is
    too small beside the picture for bfloat16.
    """
    pictures = keras.Input((None, None, 3), dtype="float32")
    x = pictures
    for i in range(DEPTH):
        last = i == DEPTH - 1
        x = keras.layers.Conv2D(
            3 if last else WIDTH,
            3,
            padding="same",
            activation=None if last else "relu",
            # From "no noise" on: a large first answer would be punished until the ReLUs before it are dead.
            kernel_initializer="zeros" if last else "he_normal",
            dtype="float32",
            name=f"conv{i + 1}",
        )(x)
    return keras.Model(pictures, x, name=name)


def fitted_denoiser(kind: str = "dncnn", path: Path | None = None) -> keras.Model:
    """A denoiser with its weights, frozen: float32 RGB (N, H, W, 3) in [0, 1] -> the noise in it.

    Args:
        kind: one of :data:`DENOISERS`.
        path: the weights; None takes those under weights/.

    Raises:
        UnmaskError: they are not there, or not this network's.
    """
    standard, remedy = DENOISERS[kind]
    path = path or standard
    model = denoiser() if kind == "dncnn" else cycleisp()
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise UnmaskError(
            f"{path}: the denoiser's weights cannot be read ({str(error).splitlines()[0]}); make them with {remedy}"
        ) from None
    model.trainable = False
    return model
