"""A data set in the 140k layout that a tiny model can learn: "fake" pictures are bluish."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from app.core.records import Box
from train import zoo
from train.datasets import LABELS, SPLITS, Sample, write_prepared

TINY_FAMILIES = {"tiny": zoo.Family("tests.train.tiny"), "tiny-even": zoo.Family("tests.train.tiny_even")}


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split, count in zip(SPLITS, (24, 12, 12), strict=True):
        for label in LABELS:
            folder = root / "real_vs_fake" / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                image = rng.integers(60, 200, (72, 72, 3))
                image[..., 0] += 40 if label == "fake" else -40
                cv2.imwrite(str(folder / f"{i:03d}.jpg"), image.astype(np.uint8))
    return root


@pytest.fixture(scope="session")
def samples(data: Path) -> list[Sample]:
    box = Box(16, 16, 56, 56)
    return [
        Sample(path, split, label, label, box)
        for split in SPLITS
        for label in LABELS
        for path in sorted((data / "real_vs_fake" / split / label).iterdir())
    ]


@pytest.fixture
def run(tmp_path: Path, data: Path, samples: list[Sample]) -> Path:
    """A run folder whose faces were found already."""
    folder = tmp_path / "run"
    folder.mkdir()
    write_prepared(folder / "prepared.csv", samples, data)
    return folder


@pytest.fixture
def tiny_family(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, family in TINY_FAMILIES.items():
        monkeypatch.setitem(zoo.FAMILIES, name, family)
