"""Near-duplicates: copies are found however they were changed, look-alikes are not, and groups move together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.records import Box, Detection, ImageU8
from train.datasets import SPLITS, Facts, Sample
from train.duplicates import Pair, find_pairs, grouped, moved
from train.facts import HASH_BITS, Hash, hashes_of, mirrored

T = TypeVar("T")
BOX = Box(56, 56, 200, 200)


def quietly(items: Iterable[T], _: int) -> Iterable[T]:
    return items


def photograph(seed: int) -> ImageU8:
    """A random picture with the falling spectrum of photographs, uint8 (256, 256, 3)."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    spectrum = np.fft.fft2(rng.normal(size=(256, 256))) / np.maximum(frequency, 1 / 256)
    values = np.real(np.fft.ifft2(spectrum))
    grey = np.clip(128 + 50 * values / values.std(), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2))


def saved(path: Path, image: ImageU8, split: str = "train", box: Box = BOX, quality: int = 95) -> Sample:
    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return Sample(path, split, "real", "x", box, (), Facts(256, 256, "JPEG", quality, 1, 0, 0))


def hashed(samples: list[Sample]) -> Hash:
    rows = []
    for s in samples:
        image = cv2.imread(str(s.path))
        assert image is not None and s.box is not None
        rows.append(hashes_of(np.asarray(image, np.uint8), Detection(s.box, 0.9)))
    return np.array(rows, np.uint64)


@pytest.mark.parametrize("change", ["recompressed", "halved", "mirrored", "recoloured", "cut", "cut and mirrored"])
def test_a_copy_is_found_however_it_was_changed(tmp_path: Path, change: str) -> None:
    image, box, quality = photograph(1), BOX, 95
    if change == "recompressed":
        quality = 40
    if change == "halved":
        image, box = cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA), Box(28, 28, 100, 100)
    if change == "recoloured":
        image = np.clip(image * np.array([0.8, 1.0, 1.2]) + 12, 0, 255).astype(np.uint8)
    if "cut" in change:
        image, box = image[10:230, 14:240], Box(BOX.x0 - 14 + 2, BOX.y0 - 10 - 1, BOX.x1 - 14 + 1, BOX.y1 - 10 - 2)
    if "mirrored" in change:
        width = image.shape[1]
        image, box = image[:, ::-1], Box(width - box.x1, box.y0, width - box.x0, box.y1)
    samples = [
        *(saved(tmp_path / f"{i}.jpg", photograph(i)) for i in range(8)),
        saved(tmp_path / "copy.jpg", np.ascontiguousarray(image), "test", box, quality),
    ]
    (pair,) = find_pairs(samples, hashed(samples), quietly)
    assert (pair.first, pair.second) == (1, 8) and pair.correlation >= 0.9
    assert pair.mirrored == ("mirrored" in change)


def test_pictures_that_only_resemble_each_other_are_not_duplicates(tmp_path: Path) -> None:
    """The same blurred layout with other details, as two faces of one generator have: hashes near, details not."""
    coarse = cv2.GaussianBlur(photograph(1), (0, 0), 9)
    samples = []
    for i in range(6):
        detail = photograph(50 + i).astype(np.float32)
        detail -= cv2.GaussianBlur(detail, (0, 0), 9)
        samples.append(saved(tmp_path / f"{i}.jpg", np.clip(coarse + 2 * detail, 0, 255).astype(np.uint8)))
    assert find_pairs(samples, hashed(samples), quietly) == []


@given(st.integers(0, 2**32))
def test_the_hash_of_a_mirrored_picture_is_known_without_it(seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    face = Detection(Box(16, 16, 48, 48), 0.9)
    straight, turned = hashes_of(image, face), hashes_of(np.ascontiguousarray(image[:, ::-1]), face)
    differ = np.bitwise_count(mirrored(straight) ^ turned).sum(axis=1)
    # The whole picture to the bit but for signs of what is almost nothing; the crop's mirror may lie a pixel aside.
    assert differ[0] <= HASH_BITS // 64


def test_all_of_a_group_goes_where_its_first_picture_is(tmp_path: Path) -> None:
    facts = Facts(1, 1, "PNG", None, 1, 0, 0)
    names = ["test", "train", "valid", "test", "test", "valid"]
    samples = [Sample(tmp_path / f"{i}.png", split, "real", "x", BOX, (), facts) for i, split in enumerate(names)]
    # 4 and 5 are frames of videos: the first goes with its group, and takes the other frame of its video along.
    samples[3], samples[4] = (replace(samples[i], facts=replace(facts, video="v")) for i in (3, 4))
    found = grouped(samples, [Pair(0, 1, 0.95, False), Pair(1, 3, 0.95, False)])
    assert [s.facts.group for s in found if s.facts] == ["g00001", "g00001", "", "g00001", "", ""]
    result, changed = moved(found)
    assert [s.split for s in result] == ["train", "train", "valid", "train", "train", "valid"] and changed == 3


splits = st.lists(st.sampled_from(SPLITS), min_size=2, max_size=12)


@given(splits, st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=12))
def test_no_group_is_left_across_splits(chosen: list[str], links: list[tuple[int, int]]) -> None:
    facts = Facts(1, 1, "PNG", None, 1, 0, 0)
    samples = [Sample(Path(f"{i}.png"), split, "real", "x", BOX, (), facts) for i, split in enumerate(chosen)]
    pairs = [Pair(min(p), max(p), 1.0, False) for p in links if p[0] != p[1] and max(p) < len(samples)]
    result, changed = moved(grouped(samples, pairs))
    assert all(result[p.first].split == result[p.second].split for p in pairs)
    assert changed == sum(a.split != b.split for a, b in zip(samples, result, strict=True))
    touched = {i for p in pairs for i in (p.first, p.second)}
    assert all(a.split == b.split for i, (a, b) in enumerate(zip(samples, result, strict=True)) if i not in touched)
