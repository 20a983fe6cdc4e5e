"""Samples -> batches: decode, augment, crop. Every batch follows from (seed, epoch, step) alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import numpy.typing as npt

from app.core.crops import crop_face
from app.core.errors import UnmaskError
from app.core.records import ImageU8
from train.augment import training_crop
from train.datasets import Sample

Batch = tuple[ImageU8, npt.NDArray[np.float32]]


def read_picture(sample: Sample) -> ImageU8:
    """The sample's picture, uint8 BGR."""
    image = cv2.imread(str(sample.path), cv2.IMREAD_COLOR)
    if image is None:
        raise UnmaskError(f"{sample.path}: the picture cannot be read any more; restore it or prepare the data again")
    return np.asarray(image, np.uint8)


def plain_crops(samples: Sequence[Sample], size: int, scale: float) -> ImageU8:
    """The app's crops of samples, without augmentation: uint8 RGB (N, size, size, 3)."""
    crops = np.empty((len(samples), size, size, 3), np.uint8)
    for i, sample in enumerate(samples):
        assert sample.box is not None
        crops[i] = crop_face(read_picture(sample), sample.box, size, scale)
    return crops


def epoch_order(samples: Sequence[Sample], seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Indices of one epoch: as many as there are samples, half of them of each class.

    The smaller class is repeated whole, then topped up at random, so that no picture is left out of it.
    """
    rng = np.random.default_rng((seed, epoch))
    per_class = len(samples) // 2
    order: list[npt.NDArray[np.int64]] = []
    for target in (0, 1):
        pool = np.asarray([i for i, s in enumerate(samples) if s.target == target], np.int64)
        if pool.size == 0:
            raise UnmaskError("the training split lacks one of the two classes real and fake; check the data folder")
        repeats, rest = divmod(per_class, pool.size)
        order.append(np.concatenate([np.tile(pool, repeats), rng.choice(pool, rest, replace=False)]))
    mixed = np.concatenate(order)
    rng.shuffle(mixed)
    return mixed


class TrainingBatches:
    """Augmented batches, made ahead on a thread while the model trains.

    The n-th batch of an epoch depends on ``seed``, ``epoch`` and n only: a resumed run sees the same data.
    """

    def __init__(self, samples: Sequence[Sample], batch: int, size: int, scale: float, seed: int) -> None:
        if len(samples) < 2 * batch:
            raise UnmaskError(
                f"only {len(samples)} training pictures for batches of {batch}; add pictures or lower --batch"
            )
        self._samples = samples
        self._batch = batch
        self._size = size
        self._scale = scale
        self._seed = seed

    @property
    def steps(self) -> int:
        """Whole batches in an epoch."""
        return len(self._samples) // 2 * 2 // self._batch

    def make(self, epoch: int, step: int, order: npt.NDArray[np.int64]) -> Batch:
        """Batch ``step`` of ``epoch``: crops uint8 (B, size, size, 3), targets float32 (B, 1), 1 = fake."""
        chosen = order[step * self._batch : (step + 1) * self._batch]
        crops = np.empty((len(chosen), self._size, self._size, 3), np.uint8)
        targets = np.empty((len(chosen), 1), np.float32)
        for i, index in enumerate(chosen):
            sample = self._samples[index]
            assert sample.box is not None
            rng = np.random.default_rng((self._seed, epoch, step, i))
            crops[i] = training_crop(read_picture(sample), sample.box, rng, self._size, self._scale)
            targets[i] = sample.target
        return crops, targets

    def epoch(self, epoch: int, first_step: int = 0, ahead: int = 4) -> Iterator[Batch]:
        """Batches ``first_step``... of an epoch, at most ``ahead`` made in advance."""
        order = epoch_order(self._samples, self._seed, epoch)
        with ThreadPoolExecutor(1, "batches") as pool:
            waiting = [
                pool.submit(self.make, epoch, s, order) for s in range(first_step, min(first_step + ahead, self.steps))
            ]
            for step in range(first_step, self.steps):
                batch = waiting.pop(0).result()
                if step + ahead < self.steps:
                    waiting.append(pool.submit(self.make, epoch, step + ahead, order))
                yield batch
