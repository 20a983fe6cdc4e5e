"""The fused kernel trains as Keras's own batch normalization does."""

from __future__ import annotations

import numpy as np
import pytest

from train.batch_norm import fuse_batch_norm, renew_averages

keras = pytest.importorskip("keras")


def small(scale: bool = True) -> keras.Model:
    inputs = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(8, 3, kernel_initializer=keras.initializers.GlorotUniform(seed=1))(inputs)
    x = keras.layers.BatchNormalization(scale=scale, momentum=0.9)(x)
    nested = keras.Sequential([keras.Input((10, 10, 8)), keras.layers.ReLU(), keras.layers.BatchNormalization()])
    x = keras.layers.GlobalAveragePooling2D()(nested(x))
    x = keras.layers.BatchNormalization()(x)  # of vectors: left to Keras
    model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones")(x))
    model.compile(keras.optimizers.SGD(0.1), keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=False)
    return model


@pytest.mark.parametrize("scale", [True, False])
def test_training_is_that_of_keras(scale: bool) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.normal(1, 3, (16, 12, 12, 3)).astype(np.float32)
    targets = rng.integers(0, 2, (16, 1)).astype(np.float32)
    plain, fused = small(scale), small(scale)
    fuse_batch_norm(fused)
    for _ in range(3):
        assert fused.train_on_batch(pictures, targets) == pytest.approx(
            plain.train_on_batch(pictures, targets), rel=1e-4
        )
    for a, b in zip(plain.get_weights(), fused.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(plain.predict_on_batch(pictures), fused.predict_on_batch(pictures), rtol=1e-3, atol=1e-3)


def test_the_kernel_is_the_fused_one() -> None:
    import tensorflow as tf

    model = small()
    fuse_batch_norm(model)
    traced = tf.function(lambda x: model(x, training=True)).get_concrete_function(tf.TensorSpec((4, 12, 12, 3)))
    names = [op.type for g in [traced.graph] for op in g.get_operations()]
    assert names.count("FusedBatchNormV3") == 2


def test_frozen_layers_keep_their_statistics() -> None:
    model = small()
    fuse_batch_norm(model)
    model.layers[2].trainable = False
    before = model.layers[2].get_weights()
    model.train_on_batch(np.ones((4, 12, 12, 3), np.float32), np.zeros((4, 1), np.float32))
    for a, b in zip(before, model.layers[2].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_saved_is_plain_keras(tmp_path) -> None:
    model = small()
    fuse_batch_norm(model)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
    pictures = np.random.default_rng(1).normal(0, 1, (2, 12, 12, 3)).astype(np.float32)
    np.testing.assert_allclose(model.predict_on_batch(pictures), again.predict_on_batch(pictures), rtol=1e-5)


def test_averages_taken_anew_are_those_of_the_batches_alone() -> None:
    rng = np.random.default_rng(1)
    batches = [rng.normal(1, 3, (8, 12, 12, 3)).astype(np.float32) for _ in range(3)]
    model = small()
    layer = model.layers[2]
    layer.set_weights([*layer.get_weights()[:2], np.full(8, 1e6), np.full(8, 1e9)])
    others = [w for other in model.layers if other.variables and other is not layer for w in other.trainable_weights]
    before = [np.asarray(w) for w in others]

    renew_averages(model, iter(batches))

    seen = [np.asarray(model.layers[1](batch)) for batch in batches]
    np.testing.assert_allclose(layer.moving_mean, np.mean([s.mean((0, 1, 2)) for s in seen], axis=0), rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, np.mean([s.var((0, 1, 2)) for s in seen], axis=0), rtol=1e-4)
    assert layer.momentum == 0.9
    for a, b in zip(before, others, strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_batches_the_averages_stay() -> None:
    model = small()
    before = model.get_weights()
    renew_averages(model, iter(()))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
