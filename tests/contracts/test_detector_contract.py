"""What every FaceDetector does, and that MediaPipe's finds the faces of the demo clip."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.core.errors import UnmaskError
from app.core.records import Box, Detection, ImageU8
from app.vision.detector import FULL_RANGE, SHORT_RANGE, FaceDetector, FakeDetector, MediaPipeDetector

SHIPPED = Path(__file__).resolve().parents[2] / "weights" / "mediapipe"


@pytest.fixture(scope="module")
def mediapipe_detector() -> Iterator[MediaPipeDetector]:
    with MediaPipeDetector() as detector:
        yield detector


@pytest.fixture(params=["mediapipe", "fake"])
def detector(request: pytest.FixtureRequest, make_face: Callable[..., Detection]) -> FaceDetector:
    if request.param == "fake":
        return FakeDetector(lambda n: [make_face(size=50), make_face(300, 90, size=120)] if n == 0 else [])
    found: MediaPipeDetector = request.getfixturevalue("mediapipe_detector")
    return found


class TestFaceDetector:
    def test_faces_come_largest_first(self, detector: FaceDetector, demo_frames: dict[float, ImageU8]) -> None:
        faces = detector.detect(demo_frames[5.4])
        assert len(faces) == 2
        assert all(a.box.size >= b.box.size for a, b in pairwise(faces))

    def test_what_it_finds_is_in_the_picture(self, detector: FaceDetector, demo_frames: dict[float, ImageU8]) -> None:
        height, width = demo_frames[5.4].shape[:2]
        faces = detector.detect(demo_frames[5.4])
        assert faces
        for face in faces:
            assert face.box.iou(Box(0, 0, width, height)) > 0
            assert face.box == face.box.rounded()
            assert all(0 <= x <= width and 0 <= y <= height for x, y in face.keypoints)

    def test_it_does_not_touch_the_picture(self, detector: FaceDetector, demo_frames: dict[float, ImageU8]) -> None:
        before = demo_frames[5.4].copy()
        detector.detect(demo_frames[5.4])
        assert np.array_equal(demo_frames[5.4], before)

    def test_it_can_be_closed_again(self, detector: FaceDetector) -> None:
        other = MediaPipeDetector() if isinstance(detector, MediaPipeDetector) else detector
        other.close()
        other.close()


@pytest.mark.parametrize("time_s", [1.4, 5.4, 8.0, 10.4, 12.0])
def test_the_faces_of_the_demo_clip(
    mediapipe_detector: MediaPipeDetector,
    demo_frames: dict[float, ImageU8],
    demo_truth: dict[str, Any],
    time_s: float,
) -> None:
    [span] = [s for s in demo_truth["spans"] if s["start"] <= time_s < s["end"]]
    faces = mediapipe_detector.detect(demo_frames[time_s])
    assert len(faces) == len(span["faces"])
    for name in span["faces"]:
        [where] = [Box(*row[1:]) for row in demo_truth["boxes"][name] if row[0] == time_s]
        assert max(face.box.iou(where) for face in faces) > 0.5
    for face in faces:
        # Right eye, left eye, nose, mouth: the person's own right is on our left.
        right, left, nose, mouth = face.keypoints[:4]
        assert right[0] < nose[0] < left[0]
        assert right[1] < nose[1] < mouth[1]


@pytest.mark.parametrize("picture", ["black", "white", "noise"])
@pytest.mark.parametrize("shape", [(720, 1280), (1, 1), (31, 500)])
def test_there_is_no_face_where_there_is_none(
    mediapipe_detector: MediaPipeDetector, picture: str, shape: tuple[int, int]
) -> None:
    grey = {
        "black": np.zeros(shape, np.uint8),
        "white": np.full(shape, 255, np.uint8),
        "noise": np.random.default_rng(4).integers(0, 256, shape, np.uint8),
    }[picture]
    assert mediapipe_detector.detect(np.dstack([grey] * 3)) == []


def test_a_face_below_the_least_size_is_left_out(demo_frames: dict[float, ImageU8]) -> None:
    with MediaPipeDetector(min_size=1000) as detector:
        assert detector.detect(demo_frames[8.0]) == []


@pytest.mark.parametrize("name", [FULL_RANGE, SHORT_RANGE])
def test_a_missing_or_altered_file_is_told(tmp_path: Path, name: str) -> None:
    for file in (FULL_RANGE, SHORT_RANGE):
        shutil.copyfile(SHIPPED / file, tmp_path / file)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UnmaskError, match=f"{name}: .*altered"):
        MediaPipeDetector(folder=tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(UnmaskError, match=f"{name}: .*cannot be read"):
        MediaPipeDetector(folder=tmp_path)
