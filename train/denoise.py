"""Fits the denoiser of ``lnp_fusion`` on photographs with the noise of a camera added."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from rich.progress import track

from app.core.errors import UnmaskError
from app.core.files import whole_file
from train.datasets import Sample
from train.layouts import read_layout

PATCH, BATCH = 48, 16
GAMMA = 2.2

Floats = npt.NDArray[np.float32]


def camera_noise(patches: Floats, rng: np.random.Generator) -> Floats:
    """RGB (N, H, W, 3) in [0, 1] with shot and read noise: float32 of the same shape, [0, 1].

    The noise is added to the light, before the camera's gamma; its variance is shot * light + read, with levels drawn
    for each patch as real cameras have them (Brooks et al., CVPR 2019). As of a sensor with a colour filter, it is
    correlated over the pixels that were interpolated, for half of the patches.
    """
    n = len(patches)
    log_shot = rng.uniform(np.log(1e-4), np.log(0.012), n)
    log_read = rng.normal(2.18 * log_shot + 1.20, 0.26)
    shot, read = (np.exp(v)[:, None, None, None] for v in (log_shot, log_read))
    light = np.clip(patches, 0, 1).astype(np.float64) ** GAMMA
    noise = rng.normal(0, 1, patches.shape)
    for i in np.flatnonzero(rng.random(n) < 0.5):
        smooth = cv2.GaussianBlur(noise[i], (3, 3), 0.6)
        noise[i] = smooth / smooth.std()
    noisy = light + noise * np.sqrt(shot * light + read)
    return np.asarray(np.clip(noisy, 0, 1) ** (1 / GAMMA), np.float32)


def fit_denoiser(data: Path, path: Path, *, steps: int, seed: int) -> float:
    """Fit the denoiser on the real training pictures under ``data`` and write its weights to ``path``.

    Returns:
        How much it raises the peak signal-to-noise ratio of real validation pictures (or training pictures, where
        there are none), decibels.

    Raises:
        UnmaskError: there are no real pictures in the training split.
    """
    real = [s for s in read_layout(data) if s.label == "real"]
    train, valid = ([s for s in real if s.split == split] for split in ("train", "valid"))
    if not train:
        raise UnmaskError(f"{data}: no real pictures in the split train; check the folder")
    import keras

    from train.zoo.denoiser import denoiser

    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model = denoiser()
    rate = keras.optimizers.schedules.CosineDecay(1e-5, steps, warmup_target=1e-3, warmup_steps=max(1, steps // 10))
    model.compile(keras.optimizers.Adam(rate), "mean_squared_error", jit_compile=False)
    for _ in track(range(steps), description="fitting the denoiser"):
        clean = _patches(train, BATCH, rng)
        noisy = camera_noise(clean, rng)
        model.train_on_batch(noisy, noisy - clean)
    clean = _patches(valid or train, 8 * BATCH, np.random.default_rng(seed + 1))
    noisy = camera_noise(clean, np.random.default_rng(seed + 2))
    denoised = np.clip(noisy - np.asarray(model.predict_on_batch(noisy)), 0, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A fresh copy: of one that was compiled, the optimizer's state would be saved too.
    plain = denoiser()
    plain.set_weights(model.get_weights())
    with whole_file(path) as partial:
        plain.save_weights(partial)
    before, after = (float(np.mean((picture - clean) ** 2)) for picture in (noisy, denoised))
    return 10 * float(np.log10(before / after))


def _patches(samples: Sequence[Sample], count: int, rng: np.random.Generator) -> Floats:
    """Random patches, float32 RGB (count, PATCH, PATCH, 3) in [0, 1]."""
    patches: list[npt.NDArray[np.uint8]] = []
    while len(patches) < count:
        path = samples[int(rng.integers(len(samples)))].path
        image = cv2.imread(str(path))
        if image is None:
            raise UnmaskError(f"{path}: this picture cannot be read; take it out of the data")
        short = min(image.shape[:2])
        if short < PATCH:
            image = cv2.resize(image, None, fx=PATCH / short, fy=PATCH / short, interpolation=cv2.INTER_LINEAR)
        y, x = (int(rng.integers(0, side - PATCH + 1)) for side in image.shape[:2])
        patches.append(np.asarray(image[y : y + PATCH, x : x + PATCH, ::-1], np.uint8))
    return np.stack(patches).astype(np.float32) / np.float32(255)
