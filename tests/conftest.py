"""What many tests share: a plausible card, made-up faces, and frames of the demo clip."""

from __future__ import annotations

import copy
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from app.core.cards import ModelCard
from app.core.records import Box, Detection, ImageU8

ASSETS = Path(__file__).resolve().parents[1] / "app" / "assets"

# Shells start background jobs with Ctrl-C ignored, and the programs that the tests interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no bug: nothing here is judged by the clock.
settings.register_profile("unmask", deadline=None)
settings.load_profile("unmask")

_CARD: dict[str, Any] = {
    "schema": 1,
    "name": "tiny",
    "family": "tiny",
    "created": "2026-01-02",
    "summary": "A model for tests.",
    "files": {
        "keras": {"name": "model.keras", "sha256": "0" * 64},
        "openvino_xml": {"name": "model.xml", "sha256": "1" * 64},
        "openvino_bin": {"name": "model.bin", "sha256": "2" * 64},
    },
    "cpu_form": "FP16",
    "preprocessing": {"size": 64, "crop_scale": 1.25, "second_scale": None},
    "calibration": {"slope": 1.0, "offset": 0.0, "method": "none", "fitted_on": "nothing"},
    "thresholds": {
        "fake": 0.9,
        "real": 0.2,
        "min_size_px": 40.0,
        "min_sharpness": 0.05,
        "min_brightness": 20.0,
        "max_brightness": 240.0,
        "max_yaw": 0.8,
        "min_scores": 3,
        "chosen": "by hand",
    },
    "data": {"set": "none"},
    "training": {"epochs": 1},
    "metrics": {"test, all": {"auc": 0.9}},
    "intended_use": "Tests.",
    "limits": ["It knows nothing."],
    "terms": "Apache-2.0",
}


@pytest.fixture(scope="session")
def card_fields() -> Callable[..., dict[str, Any]]:
    """Makes a valid card as it stands in a file; keyword arguments are merged into it, one level deep."""

    def make(**changes: Any) -> dict[str, Any]:
        fields = copy.deepcopy(_CARD)
        for key, value in changes.items():
            fields[key] = {**fields[key], **value} if isinstance(value, dict) else value
        return fields

    return make


@pytest.fixture(scope="session")
def make_card(card_fields: Callable[..., dict[str, Any]]) -> Callable[..., ModelCard]:
    """Makes a ModelCard; see ``card_fields``."""
    return lambda **changes: ModelCard.model_validate(card_fields(**changes))


@pytest.fixture(scope="session")
def make_face() -> Callable[..., Detection]:
    """Makes a detection: ``size`` px wide at (x, y), its nose ``turned`` from 0, facing the camera, to 1, profile."""

    def make(x: float = 100, y: float = 80, size: float = 80, *, turned: float | None = None) -> Detection:
        points: tuple[tuple[float, float], ...] = ()
        if turned is not None:
            right, left, level = x + 0.3 * size, x + 0.7 * size, y + 0.4 * size
            nose = (right + left) / 2 + turned * (left - right) / 2
            points = (
                (right, level),
                (left, level),
                (nose, y + 0.6 * size),
                (nose, y + 0.8 * size),
                (x, level),
                (x + size, level),
            )
        return Detection(Box(x, y, x + size, y + size), 0.9, points)

    return make


@pytest.fixture(scope="session")
def demo_clip() -> Path:
    return ASSETS / "demo.mp4"


@pytest.fixture(scope="session")
def demo_truth() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ASSETS / "demo.json").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="session")
def demo_frames(demo_clip: Path) -> dict[float, ImageU8]:
    """One frame of each steady span of the demo clip, by its time, where the ground truth has boxes."""
    from app.vision.sources import FileSource

    frames: dict[float, ImageU8] = {}
    with FileSource(demo_clip) as source:
        at = 0
        for time_s in (1.4, 5.4, 8.0, 10.4, 12.0):
            index = round(time_s * source.fps)
            assert source.skip(index - at) == index - at
            frame = source.read()
            assert frame is not None
            frames[time_s] = frame.image
            at = index + 1
    return frames


@pytest.fixture(scope="session")
def noise() -> Callable[..., ImageU8]:
    """Makes a sharp picture of random blocks, uint8 BGR, grey levels from ``low`` to ``high``."""

    def make(low: int = 60, high: int = 200, height: int = 240, width: int = 320, seed: int = 1) -> ImageU8:
        rng = np.random.default_rng(seed)
        coarse = rng.integers(low, high, (-(-height // 4), -(-width // 4), 3), np.uint8)
        return np.ascontiguousarray(coarse.repeat(4, 0).repeat(4, 1)[:height, :width])

    return make
