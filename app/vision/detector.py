"""Face detectors: MediaPipe Tasks, and a fake for tests."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, Self

import cv2
import numpy as np

from app import MOST_SIDE
from app.core.errors import UnmaskError
from app.core.records import Box, Detection, ImageU8
from app.core.telemetry import refuse_telemetry
from app.models.artifact import WEIGHTS
from app.vision.quiet import stderr_silenced

FULL_RANGE = "face_detection_full_range_sparse.tflite"
SHORT_RANGE = "face_detection_short_range.tflite"
SHA256 = {
    FULL_RANGE: "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    SHORT_RANGE: "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
}


class FaceDetector(Protocol):
    """Finds faces. Made, used and closed on one thread."""

    def detect(self, image: ImageU8) -> list[Detection]:
        """Faces of a uint8 BGR (H, W, 3) picture, largest first, boxes in its pixels."""
        ...

    def close(self) -> None: ...


class MediaPipeDetector:
    """MediaPipe's BlazeFace models: full range first, short range where that finds nothing.

    The full-range model finds small and far faces but misses some that fill the picture (8 % of close-up
    portraits); the short-range model finds those. It runs only on frames where the first finds no face.

    Args:
        confidence: least detector score, [0, 1].
        min_size: least shorter side of a face, pixels.
        folder: where the two model files are.

    Raises:
        UnmaskError: a model file is missing or is not the file that was shipped.
    """

    def __init__(self, confidence: float = 0.5, min_size: float = 20.0, folder: Path | None = None) -> None:
        folder = folder or WEIGHTS / "mediapipe"
        self._min_size = min_size
        with stderr_silenced():
            self._mp, vision, base_options = _import_mediapipe()
            self._models = [
                vision.FaceDetector.create_from_options(
                    vision.FaceDetectorOptions(
                        base_options=base_options(model_asset_buffer=_verified_bytes(folder / name)),
                        min_detection_confidence=confidence,
                    )
                )
                for name in (FULL_RANGE, SHORT_RANGE)
            ]
            # The models set themselves up, and log, on their first picture.
            self.detect(np.zeros((64, 64, 3), np.uint8))

    def detect(self, image: ImageU8) -> list[Detection]:
        if max(image.shape) > MOST_SIDE:
            raise ValueError(f"the face detector takes sides of {MOST_SIDE} px at most, got {image.shape}")
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        picture = self._mp.Image(image_format=self._mp.ImageFormat.SRGB, data=rgb)
        for model in self._models:
            found = [_to_detection(d, image.shape[1], image.shape[0]) for d in model.detect(picture).detections]
            if found:
                kept = [d for d in found if d is not None and d.box.size >= self._min_size]
                return sorted(kept, key=lambda d: -d.box.size)
        return []

    def close(self) -> None:
        with stderr_silenced():
            for model in self._models:
                model.close()
        self._models = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FakeDetector:
    """Returns what ``script`` says for the n-th call; for tests."""

    def __init__(self, script: Callable[[int], Sequence[Detection]]) -> None:
        self._script = script
        self._calls = 0

    def detect(self, image: ImageU8) -> list[Detection]:
        found = list(self._script(self._calls))
        self._calls += 1
        return sorted(found, key=lambda d: -d.box.size)

    def close(self) -> None:
        pass


def _to_detection(raw: Any, width: int, height: int) -> Detection | None:
    b = raw.bounding_box
    if b.width <= 0 or b.height <= 0:
        return None
    if b.origin_x + b.width <= 0 or b.origin_y + b.height <= 0 or b.origin_x >= width or b.origin_y >= height:
        return None
    # Two decimals here, once: files then hold exactly the numbers that tracking used.
    keypoints = tuple((round(k.x * width, 2), round(k.y * height, 2)) for k in raw.keypoints or ())
    return Detection(
        box=Box(b.origin_x, b.origin_y, b.origin_x + b.width, b.origin_y + b.height).rounded(),
        confidence=round(float(np.clip(raw.categories[0].score, 0.0, 1.0)), 4),
        keypoints=keypoints if len(keypoints) == 6 else (),
    )


def _verified_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnmaskError(
            f"{path}: the face detector's file cannot be read ({error.strerror}); restore it from the repository"
        ) from None
    if hashlib.sha256(data).hexdigest() != SHA256[path.name]:
        raise UnmaskError(f"{path}: the face detector's file was altered; restore it from the repository")
    return data


def _import_mediapipe() -> tuple[Any, Any, Any]:
    """Import MediaPipe without its telemetry, and without TensorFlow and matplotlib, which serve nothing here.

    TensorFlow costs 8.5 s and 700 MB where it is installed; mediapipe guards its import with a try block. matplotlib
    costs a second; one function that plots landmarks uses it, so an empty module does.
    """
    refuse_telemetry()
    plotting = ModuleType("matplotlib.pyplot")
    stand_ins = {"tensorflow": None, "matplotlib": ModuleType("matplotlib"), "matplotlib.pyplot": plotting}
    hidden = {name: module for name, module in stand_ins.items() if name not in sys.modules}
    sys.modules.update(hidden)  # type: ignore[arg-type]
    try:
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision
    finally:
        for name in hidden:
            del sys.modules[name]
    module: ModuleType = mediapipe
    return module, vision, BaseOptions
