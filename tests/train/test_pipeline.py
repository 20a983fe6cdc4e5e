"""What an epoch shows, and how its batches come about: mixture, augmentation, crops."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.crops import crop_face, square_around
from app.core.errors import UnmaskError
from app.core.records import Box
from train import pipeline
from train.augment import Policy, degraded, jittered, surroundings, training_crop
from train.datasets import Sample
from train.pipeline import PHOTOGRAPH, RECONSTRUCTED, SELF_BLENDED, Mixture, TrainingBatches, epoch_order, plain_crops
from train.reconstruct import KINDS, reconstructed_path

POLICY = Policy(32, 1.25)


def training(samples: list[Sample]) -> list[Sample]:
    return [s for s in samples if s.split == "train"]


def drawn(target: int, source: str, count: int) -> list[Sample]:
    label = "fake" if target else "real"
    return [Sample(Path(f"{source}-{i}.jpg"), "train", label, source, Box(0, 0, 9, 9)) for i in range(count)]


def test_every_picture_is_seen_and_classes_are_even(samples: list[Sample]) -> None:
    uneven = training(samples)[8:]  # 16 real, 24 fake
    order = epoch_order(uneven, seed=3, epoch=0)
    targets = [uneven[i].target for i, _ in order]
    assert order.dtype == np.int64 and order.shape == (len(uneven), 2) and set(order[:, 1]) == {PHOTOGRAPH}
    assert targets.count(0) == targets.count(1)
    assert {i for i, _ in order if uneven[i].target == 0} == {i for i, s in enumerate(uneven) if s.target == 0}
    assert not np.array_equal(order, epoch_order(uneven, seed=3, epoch=1))
    assert np.array_equal(order, epoch_order(uneven, seed=3, epoch=0))


def test_one_class_alone_is_refused(samples: list[Sample]) -> None:
    with pytest.raises(UnmaskError, match="lacks one of the two classes"):
        epoch_order([s for s in samples if s.target == 0], seed=0, epoch=0)


@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=6),
    fakes=st.integers(1, 60),
    balance=st.floats(0, 1),
    blended=st.floats(0, 0.45),
    redrawn=st.floats(0, 0.45),
    seed=st.integers(0, 2**31),
)
def test_an_epoch_keeps_its_shares(
    sizes: list[int], fakes: int, balance: float, blended: float, redrawn: float, seed: int
) -> None:
    samples = [s for k, n in enumerate(sizes) for s in drawn(0, f"camera {k}", n)] + drawn(1, "generator", fakes)
    order = epoch_order(samples, seed, 0, Mixture(balance, blended, redrawn))
    half = len(samples) // 2
    made = Counter((samples[i].target, int(kind)) for i, kind in order)
    assert len(order) == 2 * half and made[0, PHOTOGRAPH] == half
    assert made[0, SELF_BLENDED] == round(half * blended) and made[0, RECONSTRUCTED] == round(half * redrawn)
    assert made[1, SELF_BLENDED] == made[1, RECONSTRUCTED] == 0  # fakes are made from photographs alone
    shown = Counter(samples[i].source for i, kind in order if kind == PHOTOGRAPH and samples[i].target == 0)
    times = Counter(i for i, kind in order if kind == PHOTOGRAPH and samples[i].target == 0)
    for source in shown:
        counts = [times[i] for i, s in enumerate(samples) if s.source == source]
        assert max(counts) - min(counts) <= 1  # no picture of a source is shown more often than another
    if balance == 1:
        assert max(shown.values()) - min(shown.get(f"camera {k}", 0) for k in range(len(sizes))) <= 1


def test_source_balance_lies_between_size_and_evenness() -> None:
    samples = drawn(0, "large", 90) + drawn(0, "small", 10) + drawn(1, "generator", 100)

    def small(balance: float) -> int:
        order = epoch_order(samples, 0, 0, Mixture(balance))
        return sum(samples[i].source == "small" for i, _ in order)

    assert (small(0), small(0.5), small(1)) == (10, 25, 50)


def test_batches_follow_from_seed_epoch_and_step_alone(samples: list[Sample]) -> None:
    policy, mixture = replace(POLICY, scale_range=1.2, h264=0.1), Mixture(0.5, 0.3, 0, 0.3)

    def batches(seed: int) -> TrainingBatches:
        return TrainingBatches(training(samples), 8, policy, seed, mixture)

    whole = list(batches(5).epoch(1))
    assert len(whole) == batches(5).steps == 6
    resumed = list(batches(5).epoch(1, first_step=4, threads=3))
    for (crops, targets), (crops_again, targets_again) in zip(whole[4:], resumed, strict=True):
        assert np.array_equal(crops, crops_again) and np.array_equal(targets, targets_again)
    other = next(iter(batches(6).epoch(1)))
    assert not np.array_equal(whole[0][0], other[0])
    assert whole[0][0].dtype == np.uint8 and whole[0][0].shape == (8, 32, 32, 3)
    assert whole[0][1].dtype == np.float32 and whole[0][1].shape == (8, 1)


def test_workers_share_a_batch(samples: list[Sample]) -> None:
    def batches(part: tuple[int, int]) -> TrainingBatches:
        return TrainingBatches(training(samples), 8, POLICY, 5, Mixture(0.5, 0.3, 0, 0.3), part)

    crops, targets = next(iter(batches((0, 1)).epoch(2)))
    parts = [next(iter(batches((k, 2)).epoch(2))) for k in range(2)]
    assert np.array_equal(np.concatenate([p[0] for p in parts]), crops)
    assert np.array_equal(np.concatenate([p[1] for p in parts]), targets)


def test_the_targets_name_the_fakes_that_are_made(samples: list[Sample]) -> None:
    chosen = training(samples)
    batches = TrainingBatches(chosen, 8, POLICY, 1, Mixture(self_blended=0.5))
    order = batches.order(0)
    _, targets = batches.make(0, 2, order)
    assert [int(t) for t in targets[:, 0]] == [int(k != PHOTOGRAPH or chosen[i].target) for i, k in order[16:24]]
    assert (order[:, 1] == SELF_BLENDED).any()


def test_reconstructions_are_taken_from_their_folder(samples: list[Sample], tmp_path: Path) -> None:
    chosen = training(samples)
    for kind in KINDS:
        for sample in (s for s in chosen if s.target == 0):
            path = reconstructed_path(tmp_path, kind, sample)
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((72, 72, 3), (0, 255, 0), np.uint8))
    batches = TrainingBatches(chosen, 8, replace(POLICY, strength=0), 1, Mixture(0, 0, 0.9, 0, tmp_path))
    order = batches.order(0)
    crops, targets = batches.make(0, 0, order)
    green = (crops[..., 1] > 200).mean((1, 2)) > 0.1  # all of it, or the face in the photograph
    assert np.array_equal(green, order[:8, 1] == RECONSTRUCTED) and green.any() and targets[green].all()
    next(tmp_path.rglob("*.jpg")).parent.rename(tmp_path / "gone")
    with pytest.raises(UnmaskError, match="cannot be read any more"):
        list(batches.epoch(0))


def test_a_share_of_the_pictures_goes_through_h264(samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    coded: list[int] = []
    monkeypatch.setattr(pipeline.degrade, "h264", lambda images, crf: coded.append(len(images)) or list(images))
    batches = TrainingBatches(training(samples), 8, replace(POLICY, h264=1), 1)
    for epoch in range(10):
        list(batches.epoch(epoch))
    # Every picture of about one batch in six.
    assert set(coded) == {8} and 2 <= len(coded) <= 25


def test_batches_left_half_way_leave_no_thread(samples: list[Sample]) -> None:
    epoch = TrainingBatches(training(samples), 8, POLICY, 1).epoch(0)
    next(epoch)
    epoch.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("batches")]


def test_too_few_pictures_are_told(samples: list[Sample]) -> None:
    with pytest.raises(UnmaskError, match="add pictures or lower --batch"):
        TrainingBatches(samples[:4], 8, POLICY, 0)


def test_measuring_uses_the_apps_crop(samples: list[Sample]) -> None:
    image = cv2.imread(str(samples[0].path))
    assert samples[0].box is not None
    assert np.array_equal(plain_crops(samples[:1], 48, 1.25)[0], crop_face(image, samples[0].box, 48, 1.25))


def test_augmentation_is_decided_by_the_generator_alone() -> None:
    image, other = np.random.default_rng(0).integers(0, 255, (2, 90, 80, 3)).astype(np.uint8)
    policy = Policy(48, 1.5, 1.3)
    for seed in range(40):  # enough for every branch
        crops = []
        for _ in range(2):
            rng = np.random.default_rng(seed)
            picture, box = degraded(image, Box(20, 20, 60, 60), rng, policy, other if seed % 2 else None)
            crops.append(training_crop(picture, box, rng, policy))
        assert np.array_equal(*crops) and crops[0].shape == (48, 48, 3) and crops[0].dtype == np.uint8


def test_no_strength_leaves_the_picture_alone() -> None:
    image = np.random.default_rng(0).integers(0, 255, (90, 80, 3)).astype(np.uint8)
    for seed in range(20):
        same, box = degraded(image, Box(1, 2, 30, 40), np.random.default_rng(seed), Policy(48, 1.5, strength=0))
        assert same is image and box == Box(1, 2, 30, 40)


def test_box_jitter_stays_within_its_bounds() -> None:
    box = Box(100, 100, 200, 220)
    for seed in range(200):
        other = jittered(box, np.random.default_rng(seed), scale=0.15, shift=0.06)
        assert 0.85 - 1e-9 <= other.width / box.width <= 1.15 + 1e-9
        assert abs(other.centre[0] - 150) <= 6 + 1e-9 and abs(other.centre[1] - 160) <= 7.2 + 1e-9


@given(
    shape=st.tuples(st.integers(17, 1500), st.integers(17, 1500)),
    at=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    side=st.floats(4, 900),
    aspect=st.floats(0.5, 2),
    scale=st.floats(0.5, 4),
    scale_range=st.floats(1, 2),
    seed=st.integers(0, 999),
)
def test_what_a_crop_shows_is_never_cut_away(
    shape: tuple[int, int],
    at: tuple[float, float],
    side: float,
    aspect: float,
    scale: float,
    scale_range: float,
    seed: int,
) -> None:
    cx, cy = at[0] * shape[1], at[1] * shape[0]
    box = Box(cx - side / 2, cy - side * aspect / 2, cx + side / 2, cy + side * aspect / 2)
    rows, columns = surroundings(shape, box, Policy(64, scale, scale_range))
    assert 0 <= rows.start < rows.stop <= shape[0] and 0 <= columns.start < columns.stop <= shape[1]
    largest = float(np.random.default_rng(seed).choice([1, scale_range])) * scale
    left, top, width = square_around(jittered(box, np.random.default_rng(seed)), largest)
    assert columns.start <= max(0, left) and columns.stop >= min(shape[1], left + width)
    assert rows.start <= max(0, top) and rows.stop >= min(shape[0], top + width)


def test_the_cut_around_a_face_changes_no_crop(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (700, 900, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "large.png"), image)
    box = Box(500, 300, 560, 380)
    policy = Policy(64, 1.5, strength=0)
    sample = Sample(tmp_path / "large.png", "train", "real", "camera", box)
    fake = replace(sample, label="fake")
    crops, _ = next(iter(TrainingBatches([sample, fake], 1, policy, 3).epoch(0)))
    rng = np.random.default_rng((3, 0, 0, 0))
    rng.random(2)  # whether it is toned, whether it is degraded
    rows, columns = surroundings(image.shape[:2], box, policy)
    assert rows.start % 16 == columns.start % 16 == 0 and rows.start > 0 and columns.stop < 900
    expected = training_crop(image, box, rng, policy)
    assert np.abs(crops[0].astype(int) - expected).mean() < 1
