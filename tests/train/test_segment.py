"""Faces cut out of pictures: MediaPipe with a made-up model, MobileSAM's prompts and masks, what is kept and told."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.core.errors import UnmaskError
from app.core.records import Box, ImageU8
from app.models.runtimes import import_openvino
from tests.tools.make_segmenter_sample import FILE
from train import segment
from train.config import SEGMENTERS, FitConfig
from train.datasets import Sample
from train.segment import Mask, MediaPipeSegmenter, MobileSamSegmenter, Points, cut_out, cut_out_for, face_of

POINTS = np.array([(40.0, 45.0), (60.0, 45.0), (50.0, 55.0), (50.0, 65.0)])


@pytest.fixture
def without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """MediaPipe imports it where it is, and does without."""
    if "mediapipe" not in sys.modules and "tensorflow" not in sys.modules:
        monkeypatch.setitem(sys.modules, "tensorflow", None)


class Middle:
    """The middle half of the region, or nothing; counts its calls."""

    def __init__(self, found: bool = True) -> None:
        self.found = found
        self.calls = 0

    def mask(self, region: ImageU8, points: Points) -> Mask:
        self.calls += 1
        side = region.shape[0]
        assert region.shape == (side, side, 3) and points.shape == (4, 2)
        assert (points > 0).all() and (points < side).all()
        mask = np.zeros((side, side), np.bool_)
        mask[side // 4 : -side // 4, side // 4 : -side // 4] = self.found
        return mask


@pytest.fixture
def middle(monkeypatch: pytest.MonkeyPatch) -> Middle:
    tool = Middle()
    monkeypatch.setitem(segment.SEGMENTERS, "mobilesam", lambda: tool)
    return tool


def test_the_names_are_those_of_the_config() -> None:
    assert set(segment.SEGMENTERS) == set(SEGMENTERS) - {"none", "landmarks"}


@pytest.mark.parametrize("box", [Box(16, 16, 56, 56), Box(-10, 40, 30, 80)])
def test_the_mask_lies_where_the_face_is(box: Box) -> None:
    image = np.full((72, 72, 3), 90, np.uint8)
    mask = face_of(image, Sample(Path("a.png"), "train", "real", "a", box), Middle())
    expected = np.zeros((72, 72), np.bool_)
    expected[max(0, int(box.y0)) : int(box.y1), max(0, int(box.x0)) : int(box.x1)] = True
    np.testing.assert_array_equal(mask, expected)


def test_pictures_are_cut_out_once(samples: list[Sample], tmp_path: Path, middle: Middle) -> None:
    chosen = samples[:3]
    cut = cut_out(chosen, tmp_path, "mobilesam")
    assert [s.path for s in cut] == [tmp_path / "mobilesam" / "train" / "real" / f"{i:03d}.png" for i in range(3)]
    assert [replace(s, path=o.path) for s, o in zip(cut, chosen, strict=True)] == chosen
    image, before = (cv2.imread(str(s.path)) for s in (cut[0], chosen[0]))
    np.testing.assert_array_equal(image[16:56, 16:56], before[16:56, 16:56])
    image[16:56, 16:56] = 0
    assert not image.any()
    assert cut_out(samples[:4], tmp_path, "mobilesam")[:3] == cut
    assert middle.calls == 4
    assert not [p for p in tmp_path.rglob("*") if "partial" in p.name]


def test_pictures_without_a_face_stay_whole(
    samples: list[Sample], tmp_path: Path, middle: Middle, capsys: pytest.CaptureFixture[str]
) -> None:
    middle.found = False
    [cut] = cut_out(samples[:1], tmp_path, "mobilesam")
    np.testing.assert_array_equal(cv2.imread(str(cut.path)), cv2.imread(str(samples[0].path)))
    assert "1 of 1 pictures stay whole: mobilesam finds no face in them" in capsys.readouterr().out


def test_a_run_s_pictures_are_cut_only_where_its_model_cannot(
    samples: list[Sample], tmp_path: Path, middle: Middle
) -> None:
    for config in (
        FitConfig(model="lnp_fusion", segmenter="none"),
        FitConfig(model="lnp_fusion", segmenter="landmarks"),
        FitConfig(model="densenet121", segmenter="mobilesam"),
    ):
        assert cut_out_for(config, samples, tmp_path) == samples
    cut = cut_out_for(FitConfig(model="lnp_fusion", segmenter="mobilesam"), samples[:1], tmp_path)
    assert cut[0].path.is_relative_to(tmp_path / "cut-out")


def test_pictures_of_one_name_do_not_meet(tmp_path: Path) -> None:
    one, two, three = (Sample(Path(p), "train", "fake", "x") for p in ("a/1.png", "b/1.png", "b/2.png"))
    first, second, third = segment.picture_names([one, two, three])
    assert first != second and third == "train/fake/2"
    assert segment.picture_names([two, one]) == [second, first]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (MediaPipeSegmenter, r"selfie_multiclass_256x256\.tflite: no such file; download .* --segmenter landmarks"),
        (MobileSamSegmenter, r"encoder\.onnx: no such file; export MobileSAM .* --segmenter landmarks"),
    ],
)
def test_missing_files_are_told(make: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    with pytest.raises(UnmaskError, match=words):
        make(tmp_path)


def test_damaged_files_are_told(tmp_path: Path, without_tensorflow: None) -> None:
    (tmp_path / MediaPipeSegmenter.FILE).write_bytes(b"not a model")
    with pytest.raises(UnmaskError, match=r"tflite: cannot be read .* download it again"):
        MediaPipeSegmenter(tmp_path)
    (tmp_path / "encoder.onnx").write_bytes(b"not a model")
    with pytest.raises(UnmaskError, match=r"encoder\.onnx: cannot be read .* export it again"):
        MobileSamSegmenter(tmp_path)


def test_mediapipe_s_face_skin_is_filled(tmp_path: Path, without_tensorflow: None) -> None:
    """MediaPipe itself, with a model in the published form that takes what is bright for skin."""
    shutil.copy(FILE, tmp_path / MediaPipeSegmenter.FILE)
    region = np.zeros((100, 100, 3), np.uint8)
    region[20:80, 30:70] = 230
    region[40:50, 40:60] = 0  # eyes
    region[2:8, 2:8] = 230  # another face
    mask = MediaPipeSegmenter(tmp_path).mask(region, POINTS)
    expected = np.zeros((100, 100), np.bool_)
    expected[20:80, 30:70] = True
    assert mask.shape == (100, 100) and mask.dtype == bool
    assert np.mean(mask != expected) < 0.02


def test_mobilesam_is_asked_by_points_and_its_best_mask_taken(tmp_path: Path) -> None:
    """Made-up networks with the inputs and outputs of the exported ones."""
    ov = import_openvino()
    from openvino import opset13 as ops

    picture = ops.parameter([1, 3, 1024, 1024], np.float32, name="picture")
    pooled = ops.avg_pool(picture, [16, 16], [0, 0], [0, 0], [16, 16], True)
    ov.save_model(ov.Model([ops.tile(pooled, [1, 86, 1, 1])], [picture]), tmp_path / "encoder.xml", False)
    shapes = {
        "image_embeddings": [1, 258, 64, 64],
        "point_coords": [1, -1, 2],
        "point_labels": [1, -1],
        "mask_input": [1, 1, 256, 256],
        "has_mask_input": [1],
        "orig_im_size": [2],
    }
    given = {name: ops.parameter(shape, np.float32, name=name) for name, shape in shapes.items()}
    for name, node in given.items():
        node.output(0).set_names({name})
    # The mask: where the picture's red is above its mean of ImageNet; the quality: of the second, the highest.
    red = ops.slice(given["image_embeddings"], [0], [1], [1], [1])
    masks = ops.concat([ops.negative(red), red, ops.negative(red)], 1)
    # 1 only where the prompts are the points, in pixels of the enlarged picture, and the padding after them.
    wanted = np.concatenate([POINTS * 10.24, [(0, 0)]])[None].astype(np.float32)
    labels = np.asarray([[1, 1, 1, 1, -1]], np.float32)
    off = ops.reduce_sum(ops.abs(given["point_coords"] - wanted), [0, 1, 2])
    off = off + ops.reduce_sum(ops.abs(given["point_labels"] - labels), [0, 1])
    unused = ops.reduce_sum(given["mask_input"], [0, 1, 2, 3]) + ops.reduce_sum(given["has_mask_input"], [0])
    off = off + unused + ops.reduce_sum(ops.abs(given["orig_im_size"] - np.full(2, 100, np.float32)), [0])
    quality = ops.constant(np.asarray([[0.1, 0.9, 0.3]], np.float32)) - off * np.asarray([[0, 1e6, 0]], np.float32)
    outputs = [ops.result(masks), ops.result(quality)]
    for name, node in zip(("low_res_masks", "iou_predictions"), outputs, strict=True):
        node.output(0).set_names({name})
    ov.save_model(ov.Model(outputs, list(given.values())), tmp_path / "decoder.xml", False)

    region = np.zeros((100, 100, 3), np.uint8)
    region[20:80, 30:70, 0] = 255
    mask = MobileSamSegmenter(tmp_path).mask(region, POINTS)
    assert mask.shape == (100, 100)
    assert np.mean(mask != (region[..., 0] > 0)) < 0.05
