"""Batch normalization: in one kernel, which makes fine-tuning on a CPU twice as fast; and its averages, taken anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

if TYPE_CHECKING:
    import keras


def fuse_batch_norm(model: keras.Model) -> None:
    """Let every batch normalization of ``model`` train through TensorFlow's fused kernel, which oneDNN provides.

    Keras writes mean, variance and normalization as single operations, each of which reads and writes the whole
    feature map; on a CPU that is half of a DenseNet's training step. Results are those of Keras but for rounding, and
    nothing is changed in what is saved. On other backends, and for layers that the kernel does not cover, nothing
    happens.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            fuse_batch_norm(layer)
        elif isinstance(layer, keras.layers.BatchNormalization) and _covered(layer):
            layer.call = _fused(layer)


def renew_averages(model: keras.Model, batches: Iterable[npt.NDArray[Any]]) -> None:
    """Take the moving averages of every batch normalization anew, as the mean over ``batches``.

    For weights that have seen other inputs: at momentum 0.99 it takes hundreds of steps to forget variances that are a
    thousand times too large (as after averaging weights: Izmailov et al., UAI 2018).

    Args:
        model: keeps all its other weights.
        batches: what the model takes. None at all leave the averages as they are.
    """
    import keras

    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for n, batch in enumerate(batches):
        for layer in layers:
            layer.momentum = n / (n + 1)
        model(batch, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def _covered(layer: keras.layers.BatchNormalization) -> bool:
    return len(layer.input.shape) == 4 and layer.axis in (-1, 3) and not layer.synchronized and layer.center


def _fused(layer: keras.layers.BatchNormalization) -> Any:
    import tensorflow as tf

    keras_call = layer.call

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not (training and layer.trainable) or mask is not None:
            return keras_call(inputs, training=training, mask=mask)
        beta = tf.cast(layer.beta, tf.float32)
        gamma = tf.cast(layer.gamma, tf.float32) if layer.scale else tf.ones_like(beta)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(inputs, gamma, beta, epsilon=layer.epsilon)
        # The kernel tells the unbiased variance, Keras keeps the biased one.
        count = tf.cast(tf.size(inputs), tf.float32) / inputs.shape[-1]
        variance *= (count - 1) / count
        for kept, seen in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            kept.assign(kept * layer.momentum + tf.cast(seen, kept.dtype) * (1 - layer.momentum))
        return outputs

    return call
