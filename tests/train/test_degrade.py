"""What may happen to a picture on its way, and the fakes made of photographs."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import UnmaskError
from app.core.records import Box, ImageU8
from train import blend, degrade

BOX = Box(30, 24, 74, 80)
POINTS = ((41.0, 45.0), (63.0, 45.0), (52.0, 56.0), (52.0, 68.0), (31.0, 48.0), (73.0, 48.0))
Degradation = Callable[[ImageU8, np.random.Generator], ImageU8]
DEGRADATIONS: dict[str, Degradation] = {
    "rescaled": lambda image, rng: degrade.rescaled(image, BOX, rng, 0.4)[0],
    "resampled": degrade.resampled,
    "jpeg": lambda image, rng: degrade.jpeg(image, int(rng.integers(1, 101))),
    "webp": lambda image, rng: degrade.webp(image, int(rng.integers(1, 101))),
    "h264": lambda image, rng: degrade.h264([image], int(rng.integers(20, 37)))[0],
    "coloured": degrade.coloured,
    "toned": lambda image, rng: degrade.toned_like(image, rng.integers(0, 256, (40, 50, 3)).astype(np.uint8)),
    "blurred": degrade.blurred,
    "sharpened": degrade.sharpened,
    "smoothed": degrade.smoothed,
    "noisy": degrade.noisy,
    "screen_captured": degrade.screen_captured,
    "occluded": lambda image, rng: degrade.occluded(image, BOX, rng),
    "self_blended": lambda image, rng: blend.self_blended(image, BOX, POINTS, rng),
    "transformed": blend.transformed,
}


def picture(height: int = 96, width: int = 104, seed: int = 0) -> ImageU8:
    """Something with edges, slopes and texture."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (12, 13, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_every_degradation_is_a_picture_again_and_decided_by_the_generator(name: str) -> None:
    for seed in range(3 if name == "h264" else 12):
        image = picture(seed=seed)
        before = image.copy()
        first = DEGRADATIONS[name](image, np.random.default_rng(seed))
        assert first.dtype == np.uint8 and first.ndim == 3 and first.shape[2] == 3
        assert np.array_equal(first, DEGRADATIONS[name](image, np.random.default_rng(seed)))
        assert np.array_equal(image, before)
        if name != "rescaled":
            assert first.shape == image.shape
            assert np.abs(first.astype(int) - image).max() > 0


@given(seed=st.integers(0, 10**6), height=st.integers(17, 300), width=st.integers(17, 300))
def test_a_rescaled_pictures_box_goes_along(seed: int, height: int, width: int) -> None:
    box = Box(0.2 * width, 0.3 * height, 0.7 * width, 0.9 * height)
    small, moved = degrade.rescaled(np.zeros((height, width, 3), np.uint8), box, np.random.default_rng(seed), 0.4)
    assert min(16, height) <= small.shape[0] <= height and min(16, width) <= small.shape[1] <= width
    scaled = (
        moved.x0 / small.shape[1],
        moved.y0 / small.shape[0],
        moved.x1 / small.shape[1],
        moved.y1 / small.shape[0],
    )
    np.testing.assert_allclose(scaled, (0.2, 0.3, 0.7, 0.9))


def test_a_rescaled_picture_keeps_its_box_on_the_face() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[40:60, 30:50] = 255
    small, box = degrade.rescaled(image, Box(30, 40, 50, 60), np.random.default_rng(1), smallest=0.4)
    inside = small[round(box.y0) + 1 : round(box.y1) - 1, round(box.x0) + 1 : round(box.x1) - 1]
    assert small.shape[0] < 100 and inside.mean() > 200


def test_pictures_of_many_sizes_go_through_one_encoder() -> None:
    images = [picture(h, w, seed) for seed, (h, w) in enumerate([(96, 104), (33, 71), (96, 104)])]
    lost = []
    for crf in (18, 40):
        coded = degrade.h264(images, crf)
        assert [c.shape for c in coded] == [i.shape for i in images]
        # Of the brightness: half of the colours' resolution is lost at any rate.
        greys = [
            [cv2.cvtColor(i, cv2.COLOR_BGR2GRAY).astype(int) for i in pair] for pair in zip(coded, images, strict=True)
        ]
        lost.append([np.abs(a - b).mean() for a, b in greys])
    assert 0 < max(lost[0]) < 8 and all(worse > better for better, worse in zip(*lost, strict=True))
    assert degrade.h264([], 28) == []


def test_a_failing_encoder_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", lambda: "false")
    with pytest.raises(UnmaskError, match="ffmpeg failed"):
        degrade.h264([picture()], 28)


def test_noise_is_as_strong_as_it_says_and_never_the_same() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    noises = [degrade.noisy(grey, np.random.default_rng(seed)).astype(int) - 128 for seed in range(30)]
    spreads = [n.std() for n in noises]
    assert 0.9 < min(spreads) < 3 and 6 < max(spreads) < 8.5 and abs(np.mean(noises)) < 0.1
    assert any((n[..., 0] == n[..., 1]).all() for n in noises) and any((n[..., 0] != n[..., 1]).any() for n in noises)
    assert abs(np.corrcoef(noises[0].ravel(), noises[1].ravel())[0, 1]) < 0.05
    large = np.full((900, 900, 3), 128, np.uint8)  # more pixels than the pool holds
    assert degrade.noisy(large, np.random.default_rng(0)).std() > 0.9


def test_toning_takes_the_colours_of_the_other() -> None:
    blue, red = (
        np.clip(picture(seed=s) * 0.3 + c, 0, 255).astype(np.uint8) for s, c in ((1, (140, 60, 60)), (2, (60, 60, 140)))
    )
    toned = degrade.toned_like(blue, red)
    assert np.abs(toned.mean((0, 1)) - red.mean((0, 1))).max() < 8 < np.abs(blue.mean((0, 1)) - red.mean((0, 1))).max()


def test_an_occlusion_covers_a_tenth_of_the_face_at_most() -> None:
    for seed in range(40):
        changed = (degrade.occluded(picture(), BOX, np.random.default_rng(seed)) != picture()).any(2).sum()
        assert changed <= 0.1 * BOX.width * BOX.height + BOX.width + BOX.height


@given(seed=st.integers(0, 10**6), height=st.integers(60, 400), width=st.integers(60, 400), points=st.booleans())
def test_a_face_mask_is_soft_and_stays_at_the_face(seed: int, height: int, width: int, points: bool) -> None:
    box = Box(0.35 * width, 0.35 * height, 0.65 * width, 0.65 * height)
    places = np.array([(0.3, 0.38), (0.7, 0.38), (0.5, 0.58), (0.5, 0.78)]) * (box.width, box.height) + (box.x0, box.y0)
    keypoints = tuple((float(x), float(y)) for x, y in places) if points else ()
    mask = blend.face_mask((height, width), box, keypoints, np.random.default_rng(seed))
    assert mask.dtype == np.float32 and mask.shape == (height, width)
    assert mask.min() >= 0 and 0.3 < mask.max() <= 1 + 1e-6
    weights = mask.sum()
    centre = (mask.sum(0) @ np.arange(width) / weights, mask.sum(1) @ np.arange(height) / weights)
    assert box.x0 <= centre[0] <= box.x1 and box.y0 <= centre[1] <= box.y1 + 0.2 * box.height


def test_a_self_blended_picture_is_the_original_far_from_the_face() -> None:
    image = picture(400, 400, seed=3)
    box = Box(170, 170, 230, 230)
    far = np.ones((400, 400), bool)
    far[90:310, 90:310] = False
    changed = untouched = 0
    for seed in range(40):
        fake = blend.self_blended(image, box, (), np.random.default_rng(seed))
        changed += bool((fake != image).any())
        untouched += np.array_equal(fake[far], image[far])
    # Half of them carry the transformation outside the face instead.
    assert changed == 40 and 8 <= untouched <= 32


def test_mixing_follows_the_mask() -> None:
    inner, outer = picture(seed=1), picture(seed=2)
    mask = np.zeros(inner.shape[:2], np.float32)
    mask[:, 50:] = 1
    mask[:, 40:50] = 0.5
    out = blend.mixed(inner, outer, mask)
    assert np.array_equal(out[:, :40], outer[:, :40]) and np.array_equal(out[:, 50:], inner[:, 50:])
    assert np.abs(out[:, 40:50] - (inner[:, 40:50] / 2 + outer[:, 40:50] / 2)).max() <= 1
