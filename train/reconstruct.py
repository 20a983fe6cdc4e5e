"""Fakes made from photographs by small autoencoders: the same people and sources, drawn by a decoder.

What tells a generated picture from a photograph everywhere is that a decoder drew it. Photographs that went through a
narrow code and a decoder carry its traces and nothing else that differs (Wang et al., "DIRE", ICCV 2023, and Rajan et
al., "Aligned datasets improve detection of latent diffusion-generated images", ICLR 2025, use large ones). Two small
decoders, with the two usual ways of enlarging, are trained here on the photographs of the training split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rich.progress import track

from app.core.files import whole_file, write_whole
from app.core.records import ImageU8
from train import degrade
from train.datasets import Sample

if TYPE_CHECKING:
    import keras

KINDS = ("nearest", "transposed")
PATCH = 96
STEPS = 500
BATCH = 16


def reconstructed_path(folder: Path, kind: str, sample: Sample) -> Path:
    """Where the reconstruction of a photograph is kept."""
    return folder / kind / sample.split / f"{sample.source.replace('/', '_')}-{sample.path.stem}.jpg"


def reconstruct(samples: Sequence[Sample], folder: Path, imagenet: Path | None, seed: int) -> None:
    """Write a reconstruction of every photograph among ``samples`` by every kind of decoder; those there are kept.

    Args:
        folder: gets one folder a kind, and ``KIND.keras`` once it is trained.
        imagenet: DenseNet121's weights, whose first layers judge the likeness beside the pixels; None: pixels alone.
    """
    photographs = [s for s in samples if s.target == 0]
    for number, kind in enumerate(KINDS):
        missing = [s for s in photographs if not reconstructed_path(folder, kind, s).is_file()]
        if not missing:
            continue
        model = _trained(photographs, folder / f"{kind}.keras", kind, imagenet, seed + number)
        for sample in track(missing, description=f"reconstructing, {kind}"):
            path = reconstructed_path(folder, kind, sample)
            path.parent.mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng((seed, number, len(sample.path.name), *sample.path.name.encode()))
            image = through(model, np.asarray(cv2.imread(str(sample.path)), np.uint8))
            # Stored with the loss that the photographs were stored with: a clean file must not tell the label.
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(75, 99))]
            write_whole(path, cv2.imencode(".jpg", degrade.jpeg(image, 100), quality)[1].tobytes())


def through(model: keras.Model, image: ImageU8) -> ImageU8:
    """A picture drawn again by an autoencoder: uint8 BGR of the same size.

    Light and colour on the large scale are given back to it: so small a decoder pales them, and that would tell it.
    """
    height, width = image.shape[:2]
    padded = cv2.copyMakeBorder(image, 0, -height % 8, 0, -width % 8, cv2.BORDER_REFLECT_101)
    drawn = np.asarray(model(padded[None], training=False), np.float32)[0]
    drawn = drawn[:height, :width]
    drawn = drawn + cv2.GaussianBlur(image.astype(np.float32) - drawn, (0, 0), 5)
    return np.asarray(np.clip(drawn + 0.5, 0, 255), np.uint8)


def build_autoencoder(kind: str) -> keras.Model:
    """uint8 BGR (N, H, W, 3), sides multiples of 8 -> float32 of the same shape, in grey levels.

    The code between has a sixteenth of the values.
    """
    import keras

    layers = keras.layers
    picture = keras.Input((None, None, 3), dtype="uint8")
    x = layers.Rescaling(1 / 127.5, offset=-1)(picture)
    for width in (32, 64, 96):
        x = layers.Conv2D(width, 3, strides=2, padding="same", activation="gelu")(x)
        x = layers.Conv2D(width, 3, padding="same", activation="gelu")(x)
    x = layers.Conv2D(12, 1, name="code")(x)
    x = layers.Conv2D(96, 3, padding="same", activation="gelu")(x)
    for width in (96, 64, 32):
        if kind == "transposed":
            x = layers.Conv2DTranspose(width, 4, strides=2, padding="same", activation="gelu")(x)
        else:
            x = layers.UpSampling2D(2, interpolation="nearest")(x)
            x = layers.Conv2D(width, 3, padding="same", activation="gelu")(x)
        x = layers.Conv2D(width, 3, padding="same", activation="gelu")(x)
    drawn = layers.Conv2D(3, 3, padding="same")(x)
    return keras.Model(picture, layers.Rescaling(127.5, offset=127.5)(drawn), name=f"autoencoder_{kind}")


def _trained(photographs: Sequence[Sample], path: Path, kind: str, imagenet: Path | None, seed: int) -> keras.Model:
    import keras

    if path.is_file():
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    keras.utils.set_random_seed(seed)
    model = build_autoencoder(kind)
    rate = keras.optimizers.schedules.CosineDecay(2e-4, STEPS, warmup_target=2e-3, warmup_steps=STEPS // 10)
    model.compile(keras.optimizers.Adam(rate), _likeness(imagenet), jit_compile=False)
    rng = np.random.default_rng(seed)
    for _ in track(range(STEPS), description=f"training the decoder, {kind}"):
        patches = np.stack([_patch(photographs[i], rng) for i in rng.integers(0, len(photographs), BATCH)])
        model.train_on_batch(patches, patches.astype(np.float32))
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        model.save(partial)
    return model


def _patch(sample: Sample, rng: np.random.Generator) -> ImageU8:
    image = np.asarray(cv2.imread(str(sample.path)), np.uint8)
    short = min(image.shape[:2])
    if short < PATCH:
        image = np.asarray(cv2.resize(image, None, fx=PATCH / short, fy=PATCH / short), np.uint8)
    y, x = (int(rng.integers(0, side - PATCH + 1)) for side in image.shape[:2])
    return image[y : y + PATCH, x : x + PATCH]


def _likeness(imagenet: Path | None) -> Callable[[Any, Any], Any]:
    """L1 of the pixels and of DenseNet121's first features (Johnson et al., ECCV 2016): a decoder trained on pixels
    alone is only blurred, and blur must not become the mark of a fake."""
    import keras

    def pixels(true: Any, drawn: Any) -> Any:
        return keras.ops.mean(keras.ops.abs(true - drawn)) / 64

    if imagenet is None:
        return pixels
    backbone = keras.applications.DenseNet121(include_top=False, weights=None, input_shape=(PATCH, PATCH, 3))
    backbone.load_weights(imagenet)
    features = keras.Model(backbone.input, [backbone.get_layer(n).output for n in ("conv1_relu", "pool2_conv")])
    features.trainable = False
    mean, spread = np.array([(123.7, 116.3, 103.5), (58.4, 57.1, 57.4)], np.float32)

    def look(picture: Any) -> Any:
        return features((picture[..., ::-1] - mean) / spread, training=False)

    def likeness(true: Any, drawn: Any) -> Any:
        distances = [
            keras.ops.mean(keras.ops.abs(a - b)) / (keras.ops.mean(keras.ops.abs(a)) + 1e-6)
            for a, b in zip(look(true), look(drawn), strict=True)
        ]
        return pixels(true, drawn) + sum(distances)

    return likeness
