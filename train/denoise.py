"""Fits the denoiser of ``lnp_fusion`` on photographs with the noise of a camera added."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from rich.progress import track

from app.core.errors import UnmaskError
from app.core.files import whole_file
from train.datasets import Sample, read_prepared
from train.layouts import VIDEO_SUFFIXES, read_layout
from train.prepare import TABLE
from train.runs import Interruption

PATCH, BATCH = 48, 16
GAMMA = 2.2
SUFFIX = ".weights.h5"

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

    Videos, and pictures that turn out to be unreadable, are left out and told.

    Args:
        data: a folder that ``train prepare`` wrote, or pictures in any layout that it reads.
        path: its name ends in ``.weights.h5``, as Keras wants it.
        steps: of :data:`BATCH` patches each, at least one.
        seed: of patches, noise and start, 0 .. 2**32 - 1.

    Returns:
        How much it raises the peak signal-to-noise ratio of real validation pictures (or training pictures, where
        there are none), decibels.

    Raises:
        UnmaskError: no such path, steps or seed can be, or no real picture of the training split can be read.
    """
    if not path.name.endswith(SUFFIX) or path.is_dir():
        raise UnmaskError(f"{path}: the weights need a file whose name ends in {SUFFIX}; name another --to")
    if steps < 1 or not 0 <= seed < 2**32:
        raise UnmaskError("--steps must be at least 1 and --seed lie in 0 .. 4294967295")
    known = read_prepared(data / TABLE, data) if (data / TABLE).is_file() else read_layout(data)
    real = [s for s in known if s.label == "real" and s.split in ("train", "valid")]
    pictures = [s for s in real if s.path.suffix.lower() not in VIDEO_SUFFIXES]
    train, valid = ([s for s in pictures if s.split == split] for split in ("train", "valid"))
    if not train:
        filmed = any(s.split == "train" for s in real)
        remedy = "prepare its videos first: python -m train prepare" if filmed else "check the folder"
        raise UnmaskError(f"{data}: no real pictures in the split train; {remedy}")
    path.parent.mkdir(parents=True, exist_ok=True)
    import keras

    from train.zoo.denoiser import denoiser

    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model = denoiser()
    rate = keras.optimizers.schedules.CosineDecay(1e-5, steps, warmup_target=1e-3, warmup_steps=max(1, steps // 10))
    model.compile(keras.optimizers.Adam(rate), "mean_squared_error", jit_compile=False)
    with Interruption() as interruption:
        for _ in track(range(steps), description="fitting the denoiser"):
            clean = _patches(train, BATCH, rng)
            if not len(clean):
                raise UnmaskError(f"{data}: no real picture in the split train can be read; check the folder")
            noisy = camera_noise(clean, rng)
            model.train_on_batch(noisy, noisy - clean)
            interruption.raise_if_asked()
    rng = np.random.default_rng(seed + 1)
    clean = _patches(valid, 8 * BATCH, rng)
    if not len(clean):
        clean = _patches(train, 8 * BATCH, rng)
    noisy = camera_noise(clean, np.random.default_rng(seed + 2))
    denoised = np.clip(noisy - np.asarray(model.predict_on_batch(noisy)), 0, 1)
    # A fresh copy: of one that was compiled, the optimizer's state would be saved too.
    plain = denoiser()
    plain.set_weights(model.get_weights())
    with whole_file(path) as partial:
        plain.save_weights(partial)
    left_out = len(real) - len(train) - len(valid)
    if left_out:
        videos = len(real) - len(pictures)
        print(f"{left_out} of {len(real)} real files left out: {videos} videos, {left_out - videos} unreadable")
    before, after = (float(np.mean((picture - clean) ** 2)) for picture in (noisy, denoised))
    return 10 * float(np.log10(before / after))


def _patches(samples: list[Sample], count: int, rng: np.random.Generator) -> Floats:
    """Random patches, float32 RGB (count, PATCH, PATCH, 3) in [0, 1]; fewer only where no picture is left.

    Args:
        samples: those that cannot be read are taken out of it.
    """
    patches: list[npt.NDArray[np.uint8]] = []
    while samples and len(patches) < count:
        drawn = int(rng.integers(len(samples)))
        image = _read(samples[drawn].path)
        if image is None:
            del samples[drawn]
            continue
        short = min(image.shape[:2])
        if short < PATCH:
            image = cv2.resize(image, None, fx=PATCH / short, fy=PATCH / short, interpolation=cv2.INTER_LINEAR)
        y, x = (int(rng.integers(0, side - PATCH + 1)) for side in image.shape[:2])
        patches.append(np.asarray(image[y : y + PATCH, x : x + PATCH, ::-1], np.uint8))
    return np.asarray(patches, np.float32).reshape(-1, PATCH, PATCH, 3) / np.float32(255)


def _read(path: Path) -> cv2.typing.MatLike | None:
    try:
        return cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error:  # Of more pixels than OpenCV takes.
        return None
