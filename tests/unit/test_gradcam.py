"""Heatmaps from evidence maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from app.models.gradcam import blended, heatmap

MAPS = arrays(np.float32, (6, 6), elements=st.floats(-1e6, 1e6, width=32))


@given(MAPS, st.booleans())
def test_a_heatmap_lies_between_0_and_1(evidence: np.ndarray, toward_fake: bool) -> None:
    heat = heatmap(evidence, 48, toward_fake=toward_fake)
    assert (heat.shape, heat.dtype) == ((48, 48), np.float32)
    assert np.isfinite(heat).all()
    assert heat.min() >= 0
    assert heat.max() <= 1


@given(MAPS)
def test_the_other_direction_is_the_other_sign(evidence: np.ndarray) -> None:
    assert np.array_equal(heatmap(evidence, 24, toward_fake=True), heatmap(-evidence, 24, toward_fake=False))


def test_nothing_that_speaks_that_way_is_dark() -> None:
    assert not heatmap(np.full((6, 6), -2, np.float32), 24, toward_fake=True).any()
    assert not heatmap(np.full((6, 6), 2, np.float32), 24, toward_fake=False).any()
    assert not heatmap(np.zeros((6, 6), np.float32), 24, toward_fake=True).any()


@pytest.mark.parametrize("place", [(0, 0), (1, 4), (5, 5), (3, 2)])
def test_the_peak_is_where_the_evidence_is(place: tuple[int, int]) -> None:
    evidence = np.full((6, 6), 0.1, np.float32)
    evidence[place] = 3
    heat = heatmap(evidence, 192, toward_fake=True)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert (y // 32, x // 32) == place
    assert heat.max() == pytest.approx(1, abs=0.02)


def test_only_the_shape_of_the_evidence_counts() -> None:
    evidence = np.random.default_rng(2).normal(size=(6, 6)).astype(np.float32)
    assert np.allclose(
        heatmap(evidence, 48, toward_fake=True), heatmap(evidence * 1000, 48, toward_fake=True), atol=1e-5
    )


def test_the_picture_shows_through() -> None:
    crop = np.random.default_rng(2).integers(0, 256, (48, 48, 3), np.uint8)
    heat = np.zeros((48, 48), np.float32)
    heat[:, 24:] = 1
    shown = blended(crop, heat)
    assert (shown.shape, shown.dtype) == (crop.shape, np.uint8)
    change = np.abs(shown.astype(int) - crop).mean(axis=(0, 2))
    assert change[24:].mean() > 2 * change[:24].mean()
    assert np.corrcoef(shown[:, :24].ravel(), crop[:, :24].ravel())[0, 1] > 0.9
