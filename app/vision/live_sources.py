"""Sources that never end by themselves: cameras and the screen. Files that can be sought in, for the player."""

from __future__ import annotations

import errno
import importlib
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# A camera that stalls would hold its thread for ten seconds, and no thread may be held for longer than two; OpenCV
# reads these on the first capture.
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "1")
os.environ.setdefault("OPENCV_VIDEOIO_V4L_READ_ATTEMPTS", "1")

import cv2
import numpy as np

from app.core.errors import UnmaskError
from app.core.records import Frame, ImageU8
from app.vision.sources import VIDEO_SUFFIXES, FileSource, FrameSource, is_url, skip_by_reading
from app.vision.streams import StreamSource

_V4L = Path("/sys/class/video4linux")
_GUESSED = 4
"""Camera numbers tried where the system does not tell which there are."""
_FAILURES = 3
"""Reads that must fail in a row before a camera counts as gone."""


@dataclass(frozen=True, slots=True)
class CameraInfo:
    """A camera: its number for OpenCV, and what people call it."""

    index: int
    name: str


def list_cameras() -> list[CameraInfo]:
    """The cameras that are plugged in; may take a second where each has to be tried, so not for a window's thread."""
    if sys.platform == "linux":
        return _listed(_V4L)
    found = []
    for index in range(_GUESSED):
        capture = cv2.VideoCapture(index)
        if capture.isOpened():
            found.append(CameraInfo(index, f"Camera {index}"))
        capture.release()
    return found


def _listed(folder: Path) -> list[CameraInfo]:
    """What Linux tells. A camera has further nodes, for its metadata, of the same name: the first is the picture."""
    found: dict[str, CameraInfo] = {}
    for entry in sorted(folder.glob("video*"), key=lambda p: int(re.sub(r"\D", "", p.name) or 0)):
        try:
            name = (entry / "name").read_text(encoding="utf-8", errors="replace").strip()
            number = int(re.sub(r"\D", "", entry.name))
            first = (entry / "index").read_text(encoding="ascii").strip() == "0" if (entry / "index").exists() else True
        except (OSError, ValueError):
            continue
        if not first:
            continue
        name = name or f"Camera {number}"
        # Two cameras of one kind are told apart by their numbers.
        found[name if name not in found else f"{name} ({number})"] = CameraInfo(
            number, name if name not in found else f"{name} ({number})"
        )
    return list(found.values())


class CameraSource:
    """A webcam, by number or by the name that :func:`list_cameras` gives, which survives replugging.

    Its size is known once it is connected. ``read`` waits for the camera's next picture and gives None once it is
    unplugged.

    Args:
        width, height: asked for; the camera may give another size.

    Raises:
        UnmaskError: there is no such camera, or it may not be used.
    """

    frame_count: int | None = None

    def __init__(self, camera: int | str, width: int = 1280, height: int = 720, fps: float = 30.0) -> None:
        self._index, self.name = _found(camera)
        self.width, self.height, self.fps = width, height, fps
        self._interrupted = False
        self._capture: Any = cv2.VideoCapture(self._index, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
        try:
            if not self._capture.isOpened():
                raise _why_not(self._index, self.name)
            # Without MJPG, USB 2 cameras give large pictures at a few frames a second.
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
            for key, value in ((cv2.CAP_PROP_FRAME_WIDTH, width), (cv2.CAP_PROP_FRAME_HEIGHT, height)):
                self._capture.set(key, value)
            self._capture.set(cv2.CAP_PROP_FPS, fps)
            self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        except BaseException:
            self._capture.release()
            raise
        self._number = 0
        self._started = time.monotonic()
        self._ahead: ImageU8 | None = None

    def connect(self) -> None:
        """Wait for the first picture.

        Raises:
            UnmaskError: another program has the camera, it gives no picture, or it was interrupted.
        """
        first = self._grabbed()
        if first is None:
            raise _why_not(self._index, self.name)
        self.height, self.width = first.shape[:2]
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = rate if 1 <= rate <= 240 else self.fps
        self._started = time.monotonic()
        self._ahead = first

    def read(self) -> Frame | None:
        image, self._ahead = self._ahead, None
        if image is None:
            image = self._grabbed()
        if image is None:
            return None
        frame = Frame(self._number, round(time.monotonic() - self._started, 6) if self._number else 0.0, image)
        self._number += 1
        return frame

    def skip(self, count: int) -> int:
        return skip_by_reading(self, count)

    def interrupt(self) -> None:
        """From any thread: wait for no further picture than the one that is awaited, a second at most."""
        self._interrupted = True

    def close(self) -> None:
        self._ahead = None
        self._capture.release()

    def _grabbed(self) -> ImageU8 | None:
        for _ in range(_FAILURES):
            if self._interrupted:
                break
            ok, image = self._capture.read()
            if ok and image is not None:
                return np.asarray(image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
        return None


def _found(camera: int | str) -> tuple[int, str]:
    """Number and name of a camera."""
    known = list_cameras() if isinstance(camera, str) or sys.platform == "linux" else []
    for info in known:
        if camera in (info.index, info.name):
            return info.index, info.name
    if isinstance(camera, int):
        return camera, f"Camera {camera}"
    raise UnmaskError(f"{camera}: no camera of this name is plugged in; plug it in or choose another")


def _why_not(index: int, name: str) -> UnmaskError:
    """Why a camera does not open."""
    if sys.platform == "linux":
        try:
            os.close(os.open(f"/dev/video{index}", os.O_RDWR | os.O_NONBLOCK))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
                return UnmaskError(f"{name}: no camera is plugged in there; plug it in or choose another")
            if error.errno in (errno.EACCES, errno.EPERM):
                return UnmaskError(f"{name}: the camera may not be used; give yourself the right, see the video group")
        return UnmaskError(f"{name}: the camera is busy or gives no picture; close the program that uses it")
    return UnmaskError(f"{name}: no camera there, or it is busy; plug it in, or close the program that uses it")


class ScreenSource:
    """The main screen, or a region of the desktop, to watch a video call.

    Args:
        region: left, top, width and height, in pixels of the desktop; None for the whole main screen.
        fps: how often the engine takes a picture.

    Raises:
        UnmaskError: the screen cannot be seen from here.
    """

    frame_count: int | None = None
    instant = True
    """``read`` never waits: whoever reads sets the pace, by ``fps``."""

    def __init__(self, region: tuple[int, int, int, int] | None = None, fps: float = 25.0) -> None:
        self.name = "screen" if region is None else "part of the screen"
        self.fps = fps
        try:
            mss: Any = importlib.import_module("mss")
        except ModuleNotFoundError:
            raise UnmaskError("screen: the package mss is not installed; pip install mss") from None
        try:
            self._grabber: Any = mss.mss()
            if region is None:
                # The first entry is all screens together.
                screens = self._grabber.monitors
                self._area = dict(screens[1] if len(screens) > 1 else screens[0])
            else:
                self._area = dict(zip(("left", "top", "width", "height"), region, strict=True))
        except Exception as error:
            raise _no_screen(error) from None
        self.width, self.height = self._area["width"], self._area["height"]
        if self.width < 16 or self.height < 16:
            self.close()
            raise UnmaskError("screen: the chosen region is too small; drag over a larger one")
        self._number = 0
        self._started = time.monotonic()
        try:
            self._ahead: ImageU8 | None = self._grabbed()
        except Exception as error:
            self.close()
            raise _no_screen(error) from None
        # High-density screens give more pixels than they say.
        self.height, self.width = self._ahead.shape[:2]

    def read(self) -> Frame | None:
        if self._grabber is None:
            return None
        image, self._ahead = self._ahead, None
        if image is None:
            try:
                image = self._grabbed()
            except Exception:
                return None  # The display is gone or asleep: lost, like a camera.
        frame = Frame(self._number, round(time.monotonic() - self._started, 6) if self._number else 0.0, image)
        self._number += 1
        return frame

    def skip(self, count: int) -> int:
        return skip_by_reading(self, count)

    def close(self) -> None:
        grabber, self._grabber = self._grabber, None
        if grabber is not None:
            grabber.close()

    def _grabbed(self) -> ImageU8:
        shot = self._grabber.grab(self._area)
        bgra = np.frombuffer(shot.raw, np.uint8).reshape(shot.height, shot.width, 4)
        return np.asarray(cv2.cvtColor(bgra, cv2.COLOR_BGRA2BGR), np.uint8)


def _no_screen(error: Exception) -> UnmaskError:
    if sys.platform == "darwin":
        remedy = "allow Unmask to record the screen in the system's privacy settings"
    elif os.environ.get("WAYLAND_DISPLAY"):
        remedy = "log in with an X11 session, since Wayland hides the screen"
    else:
        remedy = "start Unmask on a desktop, not over a plain terminal"
    return UnmaskError(f"screen: the screen cannot be seen ({str(error) or type(error).__name__}); {remedy}")


class SeekableFile(FileSource):
    """A video file that goes to a time by its key frames, instead of decoding all that lies before."""

    def seek(self, time_s: float) -> None:
        """Let the next frame read be the one shown at ``time_s``; the last one if that is beyond the end."""
        item = None
        # A little before, and more where a key frame lies far back: OpenCV may land after the frame it was asked for.
        for start in (time_s - 0.25, time_s - 5.0, 0.0):
            self._capture.set(cv2.CAP_PROP_POS_MSEC, max(0.0, start) * 1000)
            item = self._decode()
            if item is not None and item[0] <= time_s + 1e-4:
                break
        while item is not None and item[0] <= time_s - 1 / self.fps + 1e-4:
            following = self._decode()
            if following is None:
                break
            item = following
        self._ahead = item
        if item is not None:
            self._index = round(item[0] * self.fps)
            self._time_s = item[0] - 1e-6


def opener(address: str) -> tuple[Callable[[], FrameSource], bool]:
    """What ``--source`` names, to be opened on the engine's thread, and whether it is live.

    A number or ``camera:NAME`` is a camera; ``screen`` or ``screen:LEFT,TOP,WIDTH,HEIGHT`` is the screen; an address is
    a stream, live unless it names a video file; anything else is a video file.

    Raises:
        UnmaskError: the region of a screen is not four numbers.
    """
    if address.isascii() and address.isdigit():
        return lambda: CameraSource(int(address)), True
    if address.startswith("camera:"):
        return lambda: CameraSource(address.removeprefix("camera:")), True
    if address == "screen":
        return ScreenSource, True
    if address.startswith("screen:"):
        numbers = address.removeprefix("screen:").split(",")
        try:
            left, top, width, height = (int(n) for n in numbers)
        except ValueError:
            raise UnmaskError(f"{address}: give a region as screen:LEFT,TOP,WIDTH,HEIGHT") from None
        return lambda: ScreenSource((left, top, width, height)), True
    if is_url(address):
        recorded = Path(urlsplit(address).path).suffix.lower() in VIDEO_SUFFIXES - {".ts"}
        return lambda: StreamSource(address), not (recorded and address.startswith("http"))
    return lambda: SeekableFile(Path(address)), False
