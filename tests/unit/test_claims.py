"""What pictures ask for, told before they are decoded."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from app import MOST_PIXELS, MOST_SIDE
from app.core.errors import UnmaskError
from app.vision.claims import MOST_LAYERS, jpeg_layers, png_lacks_data
from app.vision.sources import read_image
from tests.fuzz import bombs, seeds


@pytest.fixture(scope="module")
def faces() -> dict[str, bytes]:
    return seeds.make_pictures()


def array(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


def test_layers_are_counted(faces: dict[str, bytes]) -> None:
    assert jpeg_layers(array(faces["face.jpg"])) == 1
    assert 5 < jpeg_layers(array(faces["layers.jpg"])) < 20
    assert jpeg_layers(array(faces["face.png"])) == jpeg_layers(array(b"")) == 0


def test_what_follows_the_end_is_no_layer(faces: dict[str, bytes]) -> None:
    assert jpeg_layers(array(faces["face.jpg"] + b"\xff\xda\x00\x02" * 500)) == 1


@pytest.mark.parametrize("interval", [0, 1])
def test_restarts_end_no_layer(faces: dict[str, bytes], interval: int) -> None:
    image = cv2.imdecode(array(faces["face.png"]), cv2.IMREAD_COLOR)
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_RST_INTERVAL, interval])[1]
    assert jpeg_layers(data) == 1


def test_a_png_that_lacks_data_is_known(faces: dict[str, bytes]) -> None:
    whole = faces["face.png"]
    assert not png_lacks_data(array(whole)) and not png_lacks_data(array(whole + b"more"))
    assert png_lacks_data(array(whole[:-100])) and png_lacks_data(array(whole[:33] + b"\xf3" + whole[34:]))
    assert not png_lacks_data(array(faces["face.jpg"]))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("60000.png", f"{MOST_PIXELS // 10**6} megapixels"), ("60000.jpg", "megapixels"), ("30000.bmp", "megapixels"),
        ("tall.png", f"{MOST_SIDE} pixels"), ("layered.jpg", f"more than {MOST_LAYERS} layers"),
        ("long-chunk.png", "cut off"),
    ],
)  # fmt: skip
def test_a_bomb_is_refused_in_a_sentence(faces: dict[str, bytes], tmp_path: Path, name: str, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(bombs.pictures(faces)[name])
    with pytest.raises(UnmaskError, match=says) as refused:
        read_image(path)
    assert str(refused.value).startswith(f"{path}: ")
