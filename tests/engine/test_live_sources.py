"""Cameras and the screen, with made-up devices behind them; what ``--source`` names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from app.core.errors import UnmaskError
from app.vision import live_sources
from app.vision.live_sources import CameraInfo, CameraSource, ScreenSource, SeekableFile, list_cameras, opener


class Device:
    """A camera as OpenCV gives it."""

    opens = True
    frames = 10**6
    grey = False

    def __init__(self, index: int, backend: int = 0) -> None:
        self.index = index
        self.released = 0
        self.left = self.frames
        self.asked: dict[int, float] = {}
        made.append(self)

    def isOpened(self) -> bool:
        return self.opens

    def set(self, key: int, value: float) -> bool:
        self.asked[key] = value
        return True

    def get(self, key: int) -> float:
        return 30.0 if key == cv2.CAP_PROP_FPS else 0.0

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        if self.left < 0:
            return False, None
        return True, np.zeros((48, 64) if self.grey else (48, 64, 3), np.uint8)

    def release(self) -> None:
        self.released += 1


made: list[Device] = []


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    made.clear()

    def plug(*names: str, opens: bool = True, frames: int = 10**6, grey: bool = False) -> None:
        kind = type("Plugged", (Device,), {"opens": opens, "frames": frames, "grey": grey})
        monkeypatch.setattr(cv2, "VideoCapture", kind)
        monkeypatch.setattr(live_sources, "list_cameras", lambda: [CameraInfo(n, name) for n, name in enumerate(names)])

    return plug


def test_linux_tells_the_names(tmp_path: Path) -> None:
    nodes = [("video0", "Webcam", "0"), ("video1", "Webcam", "1"), ("video2", "Webcam", "0"), ("video10", "Late", "0")]
    for node, name, index in nodes:
        (tmp_path / node).mkdir()
        (tmp_path / node / "name").write_text(name + "\n")
        (tmp_path / node / "index").write_text(index + "\n")
    (tmp_path / "video3").mkdir()
    assert live_sources._listed(tmp_path) == [
        CameraInfo(0, "Webcam"),
        CameraInfo(2, "Webcam (2)"),
        CameraInfo(10, "Late"),
    ]
    assert live_sources._listed(tmp_path / "none") == []


def test_elsewhere_each_is_tried(plugged: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    plugged()
    monkeypatch.undo()
    monkeypatch.setattr(cv2, "VideoCapture", Device)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert [info.index for info in list_cameras()] == [0, 1, 2, 3]
    assert all(device.released for device in made)


@pytest.mark.parametrize("camera", [1, "Good"])
def test_a_camera_gives_frames(plugged: Callable[..., None], camera: int | str) -> None:
    plugged("Bad", "Good", grey=True)
    source = CameraSource(camera)
    source.connect()
    assert (source.width, source.height, source.fps, source.frame_count) == (64, 48, 30.0, None)
    assert source.name == ("Good" if sys.platform == "linux" or camera == "Good" else "Camera 1")
    frames = [source.read() for _ in range(3)]
    assert [f.index for f in frames if f] == [0, 1, 2]
    times = [f.time_s for f in frames if f]
    assert times[0] == 0 and times == sorted(times)
    assert source.skip(2) == 2
    source.close()
    source.close()
    assert made[-1].index == 1 and made[-1].asked[cv2.CAP_PROP_FRAME_WIDTH] == 1280


def test_unplugging_ends_the_frames(plugged: Callable[..., None]) -> None:
    plugged("One", frames=3)
    source = CameraSource(0)
    source.connect()
    assert source.skip(10) == 3
    assert source.read() is None
    source.close()


@pytest.mark.skipif(sys.platform != "linux", reason="others do not tell why")
@pytest.mark.parametrize(
    ("error", "says"), [(2, "no camera"), (19, "no camera"), (13, "may not be used"), (16, "busy"), (None, "busy")]
)
@pytest.mark.parametrize("opens", [True, False])
def test_why_a_camera_does_not_open(
    plugged: Callable[..., None], monkeypatch: pytest.MonkeyPatch, error: int | None, says: str, opens: bool
) -> None:
    plugged("One", opens=opens, frames=0)

    def open_device(path: str, flags: int) -> int:
        assert path == "/dev/video0"
        if error is not None:
            raise OSError(error, "no")
        return 99

    monkeypatch.setattr(
        live_sources, "os", SimpleNamespace(open=open_device, close=lambda n: None, O_RDWR=2, O_NONBLOCK=4)
    )
    with pytest.raises(UnmaskError, match=says):
        source = CameraSource(0)
        try:
            source.connect()
        finally:
            source.close()
    assert made[-1].released == 1


def test_a_stalled_camera_is_left(plugged: Callable[..., None]) -> None:
    """Every picture may take a second: whoever stops must not wait for several."""
    plugged("One", frames=1)
    source = CameraSource(0)
    source.connect()
    assert source.read() is not None
    source.interrupt()
    tried = made[-1].left
    assert source.read() is None
    assert made[-1].left == tried, "the camera was not asked again"
    source.close()


def test_a_name_that_is_not_there(plugged: Callable[..., None]) -> None:
    plugged("One")
    with pytest.raises(UnmaskError, match="no camera of this name"):
        CameraSource("Two")


class Grabber:
    """A desktop of two screens, as mss gives it."""

    monitors = tuple({"left": 0, "top": 0, "width": w, "height": 100} for w in (300, 200, 100))
    broken = False

    def __init__(self) -> None:
        self.closed = 0

    def grab(self, area: dict[str, int]) -> Any:
        if self.broken:
            raise RuntimeError("XGetImage() failed")
        width, height = area["width"], area["height"]
        return SimpleNamespace(width=width, height=height, raw=bytes([1, 2, 3, 255]) * (width * height))

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def desktop(monkeypatch: pytest.MonkeyPatch) -> type[Grabber]:
    kind = type("Desktop", (Grabber,), {})
    monkeypatch.setitem(sys.modules, "mss", SimpleNamespace(mss=kind))
    return kind


def test_the_screen(desktop: type[Grabber]) -> None:
    source = ScreenSource()
    assert (source.width, source.height, source.frame_count) == (200, 100, None)
    frame = source.read()
    assert frame is not None and frame.image[5, 5].tolist() == [1, 2, 3]
    assert source.skip(3) == 3
    desktop.broken = True
    assert source.read() is None
    source.close()
    source.close()
    assert source.read() is None


def test_a_region(desktop: type[Grabber]) -> None:
    source = ScreenSource((10, 20, 64, 48))
    assert (source.width, source.height) == (64, 48)
    source.close()
    with pytest.raises(UnmaskError, match="too small"):
        ScreenSource((0, 0, 3, 3))


def test_no_screen(desktop: type[Grabber], monkeypatch: pytest.MonkeyPatch) -> None:
    desktop.broken = True
    with pytest.raises(UnmaskError, match="XGetImage"):
        ScreenSource()
    monkeypatch.setitem(sys.modules, "mss", None)
    with pytest.raises(UnmaskError, match="pip install mss"):
        ScreenSource()


@pytest.mark.parametrize(
    ("address", "live"),
    [
        ("0", True),
        ("camera:Webcam", True),
        ("screen", True),
        ("screen:1,2,30,40", True),
        ("rtsp://host/x.mp4", True),
        ("http://host/live", True),
        ("https://host/x.MP4?y", False),
        ("clip.mp4", False),
    ],
)
def test_what_an_address_names(address: str, live: bool) -> None:
    assert opener(address)[1] is live


def test_a_bad_region() -> None:
    with pytest.raises(UnmaskError, match="LEFT,TOP"):
        opener("screen:1,2")


def test_a_file_is_one_that_seeks(demo_clip: Path) -> None:
    source = opener(str(demo_clip))[0]()
    assert isinstance(source, SeekableFile)
    source.close()
