"""The model of a run: built for training, started from another, and saved for use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.errors import UnmaskError
from app.core.files import whole_file
from app.models.keras_form import load_model
from train.batch_norm import fuse_batch_norm, renew_averages
from train.config import FitConfig
from train.datasets import Sample
from train.pipeline import plain_crops
from train.precision import bfloat16_pays
from train.zoo import build, family

if TYPE_CHECKING:
    import keras

RENEWING = 256
"""Pictures over which batch normalization's averages are taken anew."""


def built_for_training(config: FitConfig, imagenet: Path | None) -> keras.Model:
    """The compiled model of ``config``, with its optimizer.

    Args:
        imagenet: weights to start from; None starts from scratch.
    """
    import keras

    mixed = config.mixed_precision and bfloat16_pays()
    if config.mixed_precision and not mixed:
        print("bfloat16 is slower than float32 on this device; computing in float32", flush=True)
    keras.config.set_dtype_policy("mixed_bfloat16" if mixed else "float32")
    try:
        model = _plain(config, imagenet)
    finally:
        keras.config.set_dtype_policy("float32")
    if config.frozen_batch_norm:
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    fuse_batch_norm(model)
    optimizer = keras.optimizers.AdamW(
        config.learning_rate, weight_decay=config.weight_decay, use_ema=config.ema > 0, ema_momentum=config.ema or 0.99
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=False)
    optimizer.build(model.trainable_variables)
    return model


def start_from_file(model: keras.Model, init: Path) -> None:
    """Give ``model`` the weights of the ``.keras`` file ``init``, of its family or of that of its backbone.

    Raises:
        UnmaskError: there is no such file, it does not load safely, or its model is of another family.
    """
    from train.zoo.transfer import start_from

    start = load_model(init)
    try:
        start_from(model, start)
    except ValueError as error:
        raise UnmaskError(f"{init}: not a model of this family ({str(error).splitlines()[0]}); check --init") from None


def renew_averages_on(train: Sequence[Sample], model: keras.Model, config: FitConfig) -> None:
    """Take batch normalization's averages anew, for a backbone that has seen colours and is to see noise.

    Call outside the scope of the devices: a model of one device finds the averages, the same ones in every process.

    Args:
        train: :data:`RENEWING` of them are looked at, evenly from all sources.
    """
    plain = _plain(config, None)
    plain.set_weights(model.get_weights())
    crops = plain_crops(train[:: max(1, len(train) // RENEWING)], config.size, config.crop_scale)
    batches = max(1, len(crops) // config.batch)
    renew_averages(plain, (crops[i::batches] for i in range(batches)))
    model.set_weights(plain.get_weights())


def save_float32(model: keras.Model, config: FitConfig, path: Path) -> None:
    """Write the model without its optimizer and computing in float32, whatever it trained in."""
    plain = _plain(config, None)
    plain.set_weights(model.get_weights())
    with whole_file(path) as partial:
        plain.save(partial)


def _plain(config: FitConfig, imagenet: Path | None) -> keras.Model:
    options = {name: getattr(config, name) for name in family(config.model).options}
    return build(config.model, config.size, imagenet, **options)
