"""Whether computing in bfloat16 is worth it on this machine: measured, because no name or flag of a device tells."""

from __future__ import annotations

import functools
import time

import numpy as np

ROUNDS = 3
SHAPE = (2, 28, 28, 64)
"""Of the feature map that is convolved: some ten milliseconds on two slow cores."""


@functools.cache
def bfloat16_pays() -> bool:
    """Whether the gradient of a convolution takes not much longer in bfloat16 than in float32.

    Processors that have bfloat16 (AVX-512 BF16, AMX) and GPUs are about twice as fast with it. On others TensorFlow
    imitates it: as quick as float32 forwards, and ten times slower backwards. Other backends are not measured.
    """
    import keras

    # Half or ten times as long: between the two lies room for a busy machine, or a resumed run might choose otherwise.
    return bool(keras.backend.backend() != "tensorflow") or _seconds("bfloat16") <= 2 * _seconds("float32")


def _seconds(dtype: str) -> float:
    """The shortest of some gradients of a convolution, 3x3, in ``dtype``."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    maps, kernel = (tf.cast(rng.normal(size=size), dtype) for size in (SHAPE, (3, 3, SHAPE[-1], SHAPE[-1])))
    taken = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        with tf.GradientTape() as tape:
            tape.watch((maps, kernel))
            loss = tf.reduce_sum(tf.cast(tf.nn.conv2d(maps, kernel, 1, "SAME"), tf.float32))
        for gradient in tape.gradient(loss, (maps, kernel)):
            gradient.numpy()  # a device that works ahead would not have begun
        taken.append(time.perf_counter() - started)
    return min(taken[1:])  # the first one warms up
