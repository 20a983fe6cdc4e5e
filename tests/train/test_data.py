"""Layout, preparation, augmentation and batches."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.core.crops import crop_face
from app.core.errors import UnmaskError
from app.core.records import Box, Detection
from train.__main__ import main
from train.augment import jittered, rescaled, training_crop
from train.config import FitConfig
from train.datasets import (
    Sample,
    counts,
    limited,
    locate_faces,
    read_140k_layout,
    read_prepared,
    write_prepared,
)
from train.pipeline import TrainingBatches, epoch_order, plain_crops


def test_layout_is_read_with_its_sources(data: Path, tmp_path: Path) -> None:
    found = read_140k_layout(data)
    assert counts(found) == {s: {"real": n, "fake": n} for s, n in (("train", 24), ("valid", 12), ("test", 12))}
    assert {s.source for s in found} == {"real", "fake"}
    (tmp_path / "real_vs_fake").symlink_to(data / "real_vs_fake")
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["path", "generator"]]
            + [[s.path.relative_to(data).as_posix(), "StyleGAN" if s.target else "camera"] for s in found[:30]]
        )
    assert {s.source for s in read_140k_layout(tmp_path)} == {"StyleGAN", "camera", "real", "fake"}


def test_a_folder_without_the_layout_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnmaskError, match="no real_vs_fake/train"):
        read_140k_layout(tmp_path)


def test_limit_keeps_both_classes_of_every_split(data: Path) -> None:
    assert counts(limited(read_140k_layout(data), 10)) == {
        s: {"real": 5, "fake": 5} for s in ("train", "valid", "test")
    }


def test_faces_are_located_and_bad_pictures_listed(tmp_path: Path) -> None:
    good, faceless, broken = (tmp_path / n for n in ("good.png", "faceless.png", "broken.png"))
    cv2.imwrite(str(good), np.full((20, 20, 3), 200, np.uint8))
    cv2.imwrite(str(faceless), np.zeros((20, 20, 3), np.uint8))
    broken.write_bytes(b"no picture")
    face = Detection(Box(1, 2, 11, 12), 0.9)
    found, left_out = locate_faces(
        [Sample(p, "train", "real", "real") for p in (good, faceless, broken)],
        lambda image: [face] if image.mean() > 100 else [],
    )
    assert [(s.path, s.box) for s in found] == [(good, face.box)]
    assert left_out == [(faceless, "no face found"), (broken, "unreadable")]


def test_prepared_samples_survive_the_file(tmp_path: Path, data: Path, samples: list[Sample]) -> None:
    odd = [replace(s, box=Box(-3.25, 0.5, 40.75, 61.0)) for s in samples]
    write_prepared(tmp_path / "p.csv", odd, data)
    assert read_prepared(tmp_path / "p.csv", data) == odd


def test_every_picture_is_seen_and_classes_are_even(samples: list[Sample]) -> None:
    uneven = [s for s in samples if s.split == "train"][8:]  # 16 real, 24 fake
    order = epoch_order(uneven, seed=3, epoch=0)
    targets = [uneven[i].target for i in order]
    assert len(order) == len(uneven) and targets.count(0) == targets.count(1)
    assert {i for i in order if uneven[i].target == 0} == {i for i, s in enumerate(uneven) if s.target == 0}
    assert not np.array_equal(order, epoch_order(uneven, seed=3, epoch=1))
    assert np.array_equal(order, epoch_order(uneven, seed=3, epoch=0))


def test_one_class_alone_is_refused(samples: list[Sample]) -> None:
    with pytest.raises(UnmaskError, match="lacks one of the two classes"):
        epoch_order([s for s in samples if s.target == 0], seed=0, epoch=0)


def test_batches_follow_from_seed_epoch_and_step_alone(samples: list[Sample]) -> None:
    train = [s for s in samples if s.split == "train"]
    batches = TrainingBatches(train, batch=8, size=32, scale=1.25, seed=5)
    whole = list(batches.epoch(1))
    assert len(whole) == batches.steps == 6
    resumed = list(TrainingBatches(train, batch=8, size=32, scale=1.25, seed=5).epoch(1, first_step=4))
    for (crops, targets), (crops_again, targets_again) in zip(whole[4:], resumed, strict=True):
        assert np.array_equal(crops, crops_again) and np.array_equal(targets, targets_again)
    other = next(iter(TrainingBatches(train, batch=8, size=32, scale=1.25, seed=6).epoch(1)))
    assert not np.array_equal(whole[0][0], other[0])
    assert whole[0][0].dtype == np.uint8 and whole[0][0].shape == (8, 32, 32, 3)
    assert whole[0][1].dtype == np.float32 and whole[0][1].shape == (8, 1)


def test_too_few_pictures_are_told(samples: list[Sample]) -> None:
    with pytest.raises(UnmaskError, match="add pictures or lower --batch"):
        TrainingBatches(samples[:4], batch=8, size=32, scale=1.25, seed=0)


def test_measuring_uses_the_apps_crop(samples: list[Sample]) -> None:
    image = cv2.imread(str(samples[0].path))
    assert samples[0].box is not None
    assert np.array_equal(plain_crops(samples[:1], 48, 1.25)[0], crop_face(image, samples[0].box, 48, 1.25))


def test_augmentation_is_decided_by_the_generator_alone() -> None:
    image = np.random.default_rng(0).integers(0, 255, (90, 80, 3)).astype(np.uint8)
    box = Box(20, 20, 60, 60)
    for seed in range(40):  # enough for every branch
        first = training_crop(image, box, np.random.default_rng(seed), 48, 1.5)
        assert np.array_equal(first, training_crop(image, box, np.random.default_rng(seed), 48, 1.5))
        assert first.shape == (48, 48, 3) and first.dtype == np.uint8


def test_box_jitter_stays_within_its_bounds() -> None:
    box = Box(100, 100, 200, 220)
    for seed in range(200):
        other = jittered(box, np.random.default_rng(seed), scale=0.15, shift=0.06)
        assert 0.85 - 1e-9 <= other.width / box.width <= 1 / 0.85 + 1e-9
        assert abs(other.centre[0] - 150) <= 6 + 1e-9 and abs(other.centre[1] - 160) <= 7.2 + 1e-9


def test_a_rescaled_picture_keeps_its_box_on_the_face() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[40:60, 30:50] = 255
    small, box = rescaled(image, Box(30, 40, 50, 60), np.random.default_rng(1), smallest=0.4)
    inside = small[round(box.y0) + 1 : round(box.y1) - 1, round(box.x0) + 1 : round(box.x1) - 1]
    assert small.shape[0] < 100 and inside.mean() > 200


def test_presets_are_valid_and_unknown_options_are_not(tmp_path: Path) -> None:
    assert FitConfig.from_preset("densenet121", {"epochs": 2}).epochs == 2
    (tmp_path / "bad.toml").write_text("epoch = 3\n")
    with pytest.raises(UnmaskError, match=r"bad\.toml: unknown option epoch"):
        FitConfig.from_preset(str(tmp_path / "bad.toml"), {})
    with pytest.raises(UnmaskError, match="the known ones are"):
        FitConfig.from_preset("nothing", {})
    with pytest.raises(UnmaskError, match="--batch must be at least 2"):
        FitConfig(batch=1)


def test_a_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def lacks_a_library(_: object) -> int:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")

    monkeypatch.setattr("train.__main__._fit", lacks_a_library)
    assert main(["fit", "--data", "x", "--run", "y"]) == 2
    error = capsys.readouterr().err
    assert "sklearn is missing" in error and "pip install" in error and error.count("\n") == 1
