"""Keras layers of our own. Importing this module registers them, so that models that hold them load safely."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

PACKAGE = "unmask"


@keras.saving.register_keras_serializable(PACKAGE)
class LogitDifference(keras.layers.Layer):  # type: ignore[misc]
    """Two logits (N, 2), real and AI-generated -> their difference (N, 1), whose sigmoid is the softmax's second."""

    def call(self, logits: Any) -> Any:
        return logits[:, 1:] - logits[:, :1]

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (shape[0], 1)


@keras.saving.register_keras_serializable(PACKAGE)
class FaceEllipse(keras.layers.Layer):  # type: ignore[misc]
    """What lies outside the face becomes 0: (N, H, W, C) -> the same shape and dtype.

    Every crop is centred on the detector's box and ``crop_scale`` times as large, so the face is at about the same
    place in all of them, and one ellipse serves: the mean of those through the key points of 6,623 faces. Its rim is
    soft, half a cosine, so that it adds little of its own to a spectrum.

    Args:
        crop_scale: side of the crop over the longer side of the face's box, >= 0.5.
        middle: of the ellipse, down from the middle of the box, in longer sides of the box.
        axes: half the ellipse's width and height, in the same unit.
        softness: the mask is 1 up to ``1 - softness`` of the ellipse and 0 from ``1 + softness`` on, (0, 1).
    """

    def __init__(
        self,
        crop_scale: float = 1.5,
        middle: float = -0.035,
        axes: tuple[float, float] = (0.4, 0.56),
        softness: float = 0.1,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.crop_scale = crop_scale
        self.middle = middle
        self.axes = tuple(axes)
        self.softness = softness

    def mask(self, height: int, width: int) -> npt.NDArray[np.float32]:
        """What a crop is multiplied by: float32 (height, width) in [0, 1]."""
        y, x = (((np.arange(n) + 0.5) / n - 0.5) * self.crop_scale for n in (height, width))
        radius = np.hypot(x[None, :] / self.axes[0], (y[:, None] - self.middle) / self.axes[1])
        fall = np.clip((radius - 1 + self.softness) / (2 * self.softness), 0, 1)
        return np.asarray((1 + np.cos(np.pi * fall)) / 2, np.float32)

    def call(self, pictures: Any) -> Any:
        mask = self.mask(*pictures.shape[1:3])
        return pictures * keras.ops.convert_to_tensor(mask[None, :, :, None], pictures.dtype)

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("crop_scale", "middle", "axes", "softness")}
        return {**super().get_config(), **own}

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return shape


@keras.saving.register_keras_serializable(PACKAGE)
class Spectrum(keras.layers.Layer):  # type: ignore[misc]
    """Amplitude and phase of the discrete Fourier transform: (N, S, S, C) -> float32 (N, S, S, 2).

    The first channel is the amplitude to the power ``power``, the second the phase in [-pi, pi]; each has frequency 0
    in the centre, as after numpy.fft.fftshift, and is the mean over the C channels. The transform is orthonormal, so
    that the values of a noise do not depend on S. It is computed by products with cosine and sine matrices: exact,
    and sayable in every form that a model is exported to. The frequencies that are their own mirror images (four
    where S is even) are real: their phase is 0 or pi, never -pi, whatever rounding leaves of an imaginary part.
    """

    def __init__(self, power: float = 0.8, **options: Any) -> None:
        super().__init__(**{"dtype": "float32", **options})
        self.power = power

    def build(self, shape: tuple[int | None, ...]) -> None:
        side = shape[1]
        if side is None or shape[2] != side:
            raise ValueError(f"layer {self.name} needs square pictures of a known side, got shape {shape}")
        # Integers are reduced modulo the period before they become angles: exact to the last bit of the cosine.
        frequencies = np.arange(side) - side // 2
        turns = np.outer(frequencies, np.arange(side)) % side
        mirrored = 2 * frequencies % side == 0
        self._real = mirrored[:, None] & mirrored[None, :]
        self._cos = (np.cos(2 * np.pi * turns / side) / np.sqrt(side)).astype(np.float32)
        self._sin = (np.sin(2 * np.pi * turns / side) / np.sqrt(side)).astype(np.float32)
        super().build(shape)

    def call(self, pictures: Any) -> Any:
        ops = keras.ops
        x = ops.transpose(pictures, (0, 3, 1, 2))
        cos, sin = ops.convert_to_tensor(self._cos), ops.convert_to_tensor(self._sin)
        rows_cos, rows_sin = ops.matmul(x, ops.transpose(cos)), ops.matmul(x, ops.transpose(sin))
        real = ops.matmul(cos, rows_cos) - ops.matmul(sin, rows_sin)
        imaginary = -(ops.matmul(cos, rows_sin) + ops.matmul(sin, rows_cos))
        # The tiny constant keeps the gradient at 0 finite.
        amplitude = ops.power(real * real + imaginary * imaginary + 1e-12, self.power / 2)
        phase = ops.arctan2(ops.where(self._real, 0.0, imaginary), real)
        return ops.stack([ops.mean(amplitude, axis=1), ops.mean(phase, axis=1)], axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "power": self.power}

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*shape[:3], 2)


@keras.saving.register_keras_serializable(PACKAGE)
class ChannelAttention(keras.layers.Layer):  # type: ignore[misc]
    """Squeeze and excitation (Hu et al., CVPR 2018): (N, H, W, C) -> the same shape, each channel times (0, 1)."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        channels = shape[-1]
        # No bottleneck: with 2 or 5 channels there is nothing to save.
        self._hidden = keras.layers.Dense(channels, activation="relu", dtype=self.dtype_policy, name="squeeze")
        self._gate = keras.layers.Dense(channels, activation="sigmoid", dtype=self.dtype_policy, name="excite")
        self._hidden.build((None, channels))
        self._gate.build((None, channels))
        super().build(shape)

    def call(self, maps: Any) -> Any:
        means = keras.ops.mean(maps, axis=(1, 2))
        return maps * self._gate(self._hidden(means))[:, None, None, :]

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return shape
