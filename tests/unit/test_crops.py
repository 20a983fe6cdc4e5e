"""The face crop and what is measured on it."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.core.crops import crop_face, measure_quality, square_around, yaw_of
from app.core.records import Box, Detection, ImageU8

Noise = Callable[..., ImageU8]
MakeFace = Callable[..., Detection]


@st.composite
def boxes(draw: st.DrawFn, reach: int = 300, largest: int = 200) -> Box:
    x, y = draw(st.floats(-reach, reach)), draw(st.floats(-reach, reach))
    return Box(x, y, x + draw(st.floats(1, largest)), y + draw(st.floats(1, largest)))


@given(boxes(), st.floats(0.5, 4))
def test_square_has_its_side_and_the_centre_in_its_middle(box: Box, scale: float) -> None:
    left, top, side = square_around(box, scale)
    assert abs(side - max(box.width, box.height) * scale) <= 1
    for middle, corner in zip(box.centre, (left, top), strict=True):
        assert abs(middle - (corner + side / 2)) <= 0.5 + 1e-9


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_square_needs_a_positive_scale(scale: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        square_around(Box(0, 0, 9, 9), scale)


@settings(max_examples=60)
@given(boxes(reach=150), st.sampled_from([16, 48, 96]), st.floats(0.5, 2), st.integers(1, 90), st.integers(1, 90))
def test_any_square_touching_the_picture_gives_a_crop(
    box: Box, size: int, scale: float, height: int, width: int
) -> None:
    image = np.full((height, width, 3), 7, np.uint8)
    left, top, side = square_around(box, scale)
    if left < width and top < height and left + side > 0 and top + side > 0:
        crop = crop_face(image, box, size, scale)
        assert (crop.shape, crop.dtype) == ((size, size, 3), np.uint8)
        assert crop.flags.c_contiguous
        # Nothing but the picture is in it: no border of another colour.
        assert (crop == 7).all()
    else:
        with pytest.raises(ValueError, match="outside"):
            crop_face(image, box, size, scale)


@settings(max_examples=40)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(2, 60))
def test_a_crop_at_native_size_is_the_pixels_in_rgb(x: int, y: int, side: int) -> None:
    image = np.random.default_rng(5).integers(0, 256, (100, 100, 3), np.uint8)
    assume(side % 2 == 0)
    crop = crop_face(image, Box(x, y, x + side, y + side), side, 1.0)
    assert np.array_equal(crop, image[y : y + side, x : x + side, ::-1])


def test_the_border_is_mirrored() -> None:
    image = np.random.default_rng(5).integers(0, 256, (40, 40, 3), np.uint8)
    crop = crop_face(image, Box(-6, 0, 14, 20), 20, 1.0)
    assert np.array_equal(crop[:, 6:], image[:20, :14, ::-1])
    assert np.array_equal(crop[:, :6], image[:20, 6:0:-1, ::-1])


def test_shrinking_averages_areas() -> None:
    """A chequerboard shrunk to a quarter is even grey; point sampling would keep black and white."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    crop = crop_face(np.dstack([board] * 3), Box(0, 0, 64, 64), 16, 1.0)
    assert 126 <= crop.min() <= crop.max() <= 129


def test_yaw_of_known_poses(make_face: MakeFace) -> None:
    assert yaw_of(make_face(turned=0.0)) == pytest.approx(0)
    assert yaw_of(make_face(turned=0.5)) == yaw_of(make_face(turned=-0.5)) == pytest.approx(0.5)
    assert yaw_of(make_face(turned=1.0)) == pytest.approx(1)
    assert yaw_of(make_face(turned=-1.7)) == 1
    assert yaw_of(make_face()) == 0, "no keypoints"
    assert yaw_of(Detection(Box(0, 0, 9, 9), 0.5, ((4.0, 4.0),) * 6)) == 1, "both eyes in one place"


@given(st.floats(-1, 1), st.floats(-math.pi, math.pi))
def test_yaw_ignores_a_tilted_head(make_face: MakeFace, turned: float, angle: float) -> None:
    upright = make_face(turned=turned)
    c, s = math.cos(angle), math.sin(angle)
    tilted = Detection(upright.box, 0.9, tuple((c * x - s * y, s * x + c * y) for x, y in upright.keypoints))
    assert yaw_of(tilted) == pytest.approx(yaw_of(upright), abs=1e-6)


def test_blur_lowers_sharpness(noise: Noise, make_face: MakeFace) -> None:
    crop = noise(height=192, width=192)
    found = [measure_quality(crop, make_face()).sharpness]
    for sigma in (1, 3, 6):
        blurred = np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma), np.uint8)
        found.append(measure_quality(blurred, make_face()).sharpness)
    assert found == sorted(found, reverse=True)
    assert found[-1] < found[0] / 3


def test_sharpness_hardly_depends_on_contrast(noise: Noise, make_face: MakeFace) -> None:
    crop = noise(height=192, width=192)
    dim = (crop // 3).astype(np.uint8)
    bright, dark = measure_quality(crop, make_face()), measure_quality(dim, make_face())
    assert dark.sharpness == pytest.approx(bright.sharpness, rel=0.05)
    assert dark.brightness == pytest.approx(bright.brightness / 3, abs=1)


def test_quality_of_an_even_crop(make_face: MakeFace) -> None:
    quality = measure_quality(np.full((64, 64, 3), 200, np.uint8), make_face(size=33, turned=0.25))
    assert (quality.sharpness, quality.brightness, quality.size_px) == (0, 200, 33)
    assert quality.yaw == pytest.approx(0.25)
