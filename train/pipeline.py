"""Samples -> batches: decode, degrade, crop. Every batch follows from (seed, epoch, step) alone."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from app.core.cards import Preprocessing
from app.core.crops import crop_face
from app.core.errors import UnmaskError
from app.core.records import Box, ImageU8
from app.models.views import Views, views_of
from train import degrade
from train.augment import Policy, degraded, surroundings, training_crop
from train.blend import Points, face_mask, mixed, self_blended
from train.datasets import Sample
from train.reconstruct import KINDS, reconstructed_path

Batch = tuple[ImageU8, npt.NDArray[np.float32]]
Order = npt.NDArray[np.int64]
PHOTOGRAPH, SELF_BLENDED, RECONSTRUCTED = 0, 1, 2
"""What is made of a sample: its picture as it is, or a fake."""
H264_EVERY = 6
"""One batch in so many goes through H.264, with so many times the share of its pictures: starting the encoder costs
more than a picture does."""
THREADS = min(8, max(1, (os.cpu_count() or 1) // 2))
AHEAD = THREADS + 3
"""Batches that are made before they are asked for."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """What an epoch consists of; half of it are photographs always.

    Attributes:
        source_balance: 0 draws sources by their size, 1 alike, between them by a power of their size.
        self_blended: share of the fakes that are self-blended photographs, [0, 1].
        reconstructed: share of the fakes that are photographs drawn by a decoder, [0, 1].
        toned: share of degraded pictures that take the colours of one of the other class, [0, 1].
        reconstructions: folder of the pictures that :func:`train.reconstruct.reconstruct` wrote.
        even: photographs and fakes take turns, so that every batch of an even size holds as many of both.
    """

    source_balance: float = 0.0
    self_blended: float = 0.0
    reconstructed: float = 0.0
    toned: float = 0.0
    reconstructions: Path | None = None
    even: bool = False


def read_picture(sample: Sample) -> ImageU8:
    """The sample's picture, uint8 BGR."""
    return _read(sample.path)


def plain_crops(samples: Sequence[Sample], size: int, scale: float) -> ImageU8:
    """The app's crops of samples, without augmentation: uint8 RGB (N, size, size, 3)."""
    crops = np.empty((len(samples), size, size, 3), np.uint8)
    for i, sample in enumerate(samples):
        assert sample.box is not None
        crops[i] = crop_face(read_picture(sample), sample.box, size, scale)
    return crops


def plain_views(samples: Sequence[Sample], how: Preprocessing) -> list[Views]:
    """The app's views of samples, without augmentation."""
    views = []
    for sample in samples:
        assert sample.box is not None
        views.append(views_of(read_picture(sample), sample.box, how))
    return views


def epoch_order(samples: Sequence[Sample], seed: int, epoch: int, mixture: Mixture | None = None) -> Order:
    """What one epoch shows: int64 (N, 2) of sample index and what is made of it, half of the rows photographs.

    N is the number of samples, or one less. A source is repeated whole, then topped up at random, so that no
    picture is left out of one that is shown more often than it has pictures.

    Raises:
        UnmaskError: one class is missing.
    """
    mixture = mixture or Mixture()
    rng = np.random.default_rng((seed, epoch))
    per_class = len(samples) // 2
    blended = round(per_class * mixture.self_blended)
    redrawn = round(per_class * mixture.reconstructed)
    parts = [
        (_balanced(samples, 0, per_class, mixture.source_balance, rng), PHOTOGRAPH),
        (_balanced(samples, 1, per_class - blended - redrawn, mixture.source_balance, rng), PHOTOGRAPH),
        (_balanced(samples, 0, blended, mixture.source_balance, rng), SELF_BLENDED),
        (_balanced(samples, 0, redrawn, mixture.source_balance, rng), RECONSTRUCTED),
    ]
    rows = np.concatenate([np.stack([indices, np.full_like(indices, made)], 1) for indices, made in parts])
    rng.shuffle(rows)
    if mixture.even:
        fake = np.array([made != PHOTOGRAPH or samples[index].target == 1 for index, made in rows], bool)
        rows = np.stack([rows[~fake], rows[fake]], 1).reshape(-1, 2)
    return rows


def _balanced(samples: Sequence[Sample], target: int, count: int, balance: float, rng: np.random.Generator) -> Order:
    """``count`` indices of one class, spread over its sources."""
    sources: dict[str, list[int]] = {}
    for i, sample in enumerate(samples):
        if sample.target == target:
            sources.setdefault(sample.source, []).append(i)
    if not sources:
        raise UnmaskError("the training split lacks one of the two classes real and fake; check the data folder")
    weights = np.array([len(pool) ** (1 - balance) for pool in sources.values()])
    shares = np.floor(np.cumsum(weights) / weights.sum() * count + 1e-9).astype(int)
    chosen: list[Order] = []
    for pool, share in zip(sources.values(), np.diff(shares, prepend=0), strict=True):
        repeats, rest = divmod(int(share), len(pool))
        chosen += [np.tile(np.asarray(pool), repeats), rng.choice(np.asarray(pool), rest, replace=False)]
    return np.concatenate(chosen).astype(np.int64)


class TrainingBatches:
    """Augmented batches, made ahead on threads while the model trains.

    The n-th batch of an epoch depends on ``seed``, ``epoch`` and n only: a resumed run sees the same data.

    Args:
        batch: pictures a step, on all workers together.
        part: (k, n) makes of every batch only the k-th of n equal parts, for one of n workers.

    Raises:
        UnmaskError: there are not enough pictures for two batches.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        batch: int,
        policy: Policy,
        seed: int,
        mixture: Mixture | None = None,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        if len(samples) < 2 * batch:
            raise UnmaskError(
                f"only {len(samples)} training pictures for batches of {batch}; add pictures or lower --batch"
            )
        self._samples = samples
        self._by_target = [[i for i, s in enumerate(samples) if s.target == target] for target in (0, 1)]
        self._batch = batch
        self._policy = policy
        self._seed = seed
        self._mixture = mixture or Mixture()
        self._rows = range(batch * part[0] // part[1], batch * (part[0] + 1) // part[1])

    @property
    def steps(self) -> int:
        """Whole batches in an epoch."""
        return len(self._samples) // 2 * 2 // self._batch

    def order(self, epoch: int) -> Order:
        return epoch_order(self._samples, self._seed, epoch, self._mixture)

    def make(self, epoch: int, step: int, order: Order) -> Batch:
        """Batch ``step`` of ``epoch``, or this worker's part of it.

        Returns:
            Crops uint8 RGB (B, size, size, 3) and targets float32 (B, 1), 1 = fake.
        """
        rngs = [np.random.default_rng((self._seed, epoch, step, row)) for row in self._rows]
        pictures: list[tuple[ImageU8, Box]] = []
        targets = np.empty((len(rngs), 1), np.float32)
        for i, (row, rng) in enumerate(zip(self._rows, rngs, strict=True)):
            index, made = order[step * self._batch + row]
            sample = self._samples[index]
            targets[i] = 1 if made else sample.target
            other = None
            if rng.random() < self._mixture.toned:
                pool = self._by_target[1 - int(targets[i, 0])]
                other = read_picture(self._samples[pool[int(rng.integers(len(pool)))]])
            image, box = self._picture(sample, int(made), rng)
            pictures.append(degraded(image, box, rng, self._policy, other))
        self._through_h264(pictures, np.random.default_rng((self._seed, epoch, step)))
        crops = np.stack(
            [training_crop(image, box, rng, self._policy) for (image, box), rng in zip(pictures, rngs, strict=True)]
        )
        return crops, targets

    def _picture(self, sample: Sample, made: int, rng: np.random.Generator) -> tuple[ImageU8, Box]:
        """What of a sample's picture its crop can show, or the fake made of it, and the box in that."""
        image = read_picture(sample)
        assert sample.box is not None
        rows, columns = surroundings(image.shape[:2], sample.box, self._policy)
        image = image[rows, columns]
        box, keypoints = _seen_from(columns.start, rows.start, sample.box, sample.keypoints)
        if made == PHOTOGRAPH:
            return image, box
        if made == SELF_BLENDED:
            return self_blended(image, box, keypoints, rng), box
        assert self._mixture.reconstructions is not None
        drawn = _read(reconstructed_path(self._mixture.reconstructions, str(rng.choice(KINDS)), sample))[rows, columns]
        if rng.random() < 0.5:
            return drawn, box
        # A decoder's face in a photograph, as face swaps and lip-synced video have it.
        return mixed(drawn, image, face_mask(image.shape[:2], box, keypoints, rng)), box

    def _through_h264(self, pictures: list[tuple[ImageU8, Box]], rng: np.random.Generator) -> None:
        if rng.random() >= 1 / H264_EVERY:
            return
        crf = int(rng.integers(20, 37))
        # Drawn for the whole batch, so that a worker's part of it meets what it meets in the whole.
        coded = rng.random(self._batch)[self._rows.start : self._rows.stop] < H264_EVERY * self._policy.h264
        chosen = np.flatnonzero(coded)
        for i, image in zip(chosen, degrade.h264([pictures[i][0] for i in chosen], crf), strict=True):
            pictures[i] = (image, pictures[i][1])

    def epoch(self, epoch: int, first_step: int = 0, threads: int = THREADS, ahead: int = AHEAD) -> Iterator[Batch]:
        """Batches ``first_step``... of an epoch, at most ``ahead`` made in advance on ``threads`` threads."""
        order = self.order(epoch)
        pool = ThreadPoolExecutor(threads, "batches", _give_way)
        try:
            waiting = deque(
                pool.submit(self.make, epoch, s, order) for s in range(first_step, min(first_step + ahead, self.steps))
            )
            for step in range(first_step, self.steps):
                batch = waiting.popleft().result()
                if step + ahead < self.steps:
                    waiting.append(pool.submit(self.make, epoch, step + ahead, order))
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)


def _give_way() -> None:
    """Let this thread, and the encoders it starts, run where the model leaves a core idle.

    On a CPU the model's threads share every operation evenly: one that is held up holds up the others too.
    """
    # OpenCV's own threads would take the cores away from the model.
    cv2.setNumThreads(1)
    if sys.platform == "linux":  # elsewhere threads have no priority of their own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def _seen_from(x: int, y: int, box: Box, keypoints: Points) -> tuple[Box, Points]:
    return Box(box.x0 - x, box.y0 - y, box.x1 - x, box.y1 - y), tuple((kx - x, ky - y) for kx, ky in keypoints)


def _read(path: Path) -> ImageU8:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise UnmaskError(f"{path}: the picture cannot be read any more; restore it or prepare the data again")
    return np.asarray(image, np.uint8)
