"""A small residual denoiser: the learned noise pattern (LNP) of a picture is what it would take away."""

from __future__ import annotations

from pathlib import Path

import keras

from app.core.errors import UnmaskError

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "lnp-denoiser" / "denoiser.weights.h5"
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


def fitted_denoiser(path: Path | None = None) -> keras.Model:
    """The denoiser with the weights that ``python -m train fit-denoiser`` wrote, frozen.

    Args:
        path: the weights; None takes those under weights/.

    Raises:
        UnmaskError: they are not there, or not this network's.
    """
    path = path or WEIGHTS
    model = denoiser()
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise UnmaskError(
            f"{path}: the denoiser's weights cannot be read ({str(error).splitlines()[0]}); "
            "make them with python -m train fit-denoiser"
        ) from None
    model.trainable = False
    return model
