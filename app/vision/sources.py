"""Where frames come from. Every source passes one contract: tests/contracts/test_source_contract.py."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

import cv2
import numpy as np

from app import MOST_PIXELS, MOST_SIDE
from app.core.errors import UnmaskError
from app.core.records import Frame, ImageU8
from app.vision.claims import MOST_LAYERS, jpeg_layers, png_lacks_data
from app.vision.media import MOST_FRAME_PIXELS, MOST_FRAME_SIDE, MediaInfo, is_too_large, probe, utf8_name
from app.vision.quiet import stderr_silenced

VIDEO_SUFFIXES = frozenset(".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .mts .m2ts .wmv .flv .3gp .ogv .gif".split())
PICTURE_SUFFIXES = frozenset(".jpg .jpeg .png .webp .bmp .tif .tiff".split())
URL_SCHEMES = frozenset({"http", "https", "rtsp", "rtsps"})

WAITING_BYTES = 256 << 20
"""Frames that wait between two stages take no more than this, or are one."""

# What OpenCV and its FFmpeg log of a bad file is said in a sentence by whoever meets it.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_FATAL)
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class FrameSource(Protocol):
    """A stream of frames, made, used and closed on one thread.

    Attributes:
        name: for people and file names.
        width, height: of the frames as shown (rotation applied), pixels.
        fps: nominal frames a second, > 0.
        frame_count: how many frames there should be; None when unknown.
    """

    name: str
    width: int
    height: int
    fps: float
    frame_count: int | None

    def read(self) -> Frame | None:
        """The next frame, None at the end."""
        ...

    def skip(self, count: int) -> int:
        """Pass over up to ``count`` frames and return how many there were."""
        ...

    def close(self) -> None: ...


def skip_by_reading(source: FrameSource, count: int) -> int:
    """``skip`` for sources that have no quicker way than to read: how many of ``count`` frames there were."""
    skipped = 0
    while skipped < count and source.read() is not None:
        skipped += 1
    return skipped


class _CaptureSource:
    """What files and URLs share: OpenCV's FFmpeg reader, frames of one size, and times that never run backwards.

    A stream may change its frames' size on the way: OpenCV then scales them to the size that it began with.
    """

    def __init__(
        self, name: str, label: str, address: str, options: str, open_s: float = 0.0, silent_s: float = 0.0
    ) -> None:
        self.name = name
        self._capture = _open_capture(address, options, open_s, silent_s)
        if not self._capture.isOpened():
            raise _CannotOpen
        # By what the file says, before a frame is decoded.
        if is_too_large(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH), self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)):
            self._capture.release()
            raise _too_large(label)
        first = self._decode()
        if first is None:
            self._capture.release()
            raise _CannotOpen
        self._ahead: tuple[float, ImageU8] | None = first
        self.height, self.width = first[1].shape[:2]
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = float(rate) if 0.1 <= rate <= 1000 else 25.0
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frame_count: int | None = count if 0 < count < 10**9 else None
        self._index = 0
        self._time_s = -1.0

    def read(self) -> Frame | None:
        item, self._ahead = self._ahead or self._decode(), None
        if item is None:
            return None
        frame = Frame(self._index, self._monotonic(item[0]), item[1])
        self._index += 1
        return frame

    def skip(self, count: int) -> int:
        return skip_by_reading(self, count)

    def close(self) -> None:
        self._ahead = None
        self._capture.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self.read()) is not None:
            yield frame

    def _decode(self) -> tuple[float, ImageU8] | None:
        ok, image = self._capture.read()
        if not ok or image is None:
            return None
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        return self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, np.asarray(image, np.uint8)

    def _monotonic(self, stamp: float) -> float:
        """The stream's own timestamp, or one nominal interval on where that is missing or runs backwards."""
        fallback = self._time_s + 1 / self.fps if self._index else 0.0
        time_s = stamp if np.isfinite(stamp) and (stamp > self._time_s or self._index == 0) else fallback
        self._time_s = round(float(time_s), 6)
        return self._time_s


class FileSource(_CaptureSource):
    """A video file; every frame, in order, upright.

    Raises:
        UnmaskError: the file is missing, empty, unreadable, has no pictures or is no video.
    """

    def __init__(self, path: Path) -> None:
        check_readable(path)
        # FFmpeg would show a picture as a video of one frame, the cover of a song too.
        if path.suffix.lower() in PICTURE_SUFFIXES:
            raise UnmaskError(f"{path}: this is a picture, not a video; use python -m app image")
        _refuse_playlist(path)
        self.path = path
        self.info: MediaInfo = probe(path.resolve())
        if self.info.audio_codec and not self.info.has_video:
            raise UnmaskError(f"{path}: there is only sound in this file; give a video with pictures")
        if self.info.too_large:
            raise _too_large(str(path))
        try:
            # "file" alone: a playlist in disguise must not reach the network. The absolute path keeps a name
            # such as "concat:x" from being read as a protocol.
            with utf8_name(path.resolve()) as name:
                super().__init__(path.name, str(path), name, "protocol_whitelist;file")
        except _CannotOpen:
            if self.info.has_video:
                raise UnmaskError(
                    f"{path}: no frame of this video can be decoded; it may be cut off or damaged, try another copy"
                ) from None
            raise UnmaskError(
                f"{path}: not a video that can be read; it may be cut off or another kind of file, try another copy"
            ) from None


class UrlSource(_CaptureSource):
    """A network stream or a video at an address; http, https, rtsp or rtsps.

    Args:
        silent_s: it ends when nothing has come for so long.

    Raises:
        UnmaskError: another scheme, or nothing answers within ten seconds.
    """

    def __init__(self, url: str, silent_s: float = 10.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in URL_SCHEMES or not parts.hostname:
            raise UnmaskError(
                f"{without_password(url)}: only http, https, rtsp and rtsps addresses are opened; check the address"
            )
        try:
            super().__init__(
                Path(parts.path).name or parts.hostname,
                without_password(url),
                url,
                "protocol_whitelist;http,https,tcp,tls,rtsp,rtsps,rtp,udp,httpproxy,crypto|rtsp_transport;tcp",
                open_s=10.0,
                silent_s=silent_s,
            )
        except _CannotOpen:
            raise UnmaskError(
                f"{without_password(url)}: nothing that can be played answers there; check the address and the network"
            ) from None

    def broke_off(self) -> bool:
        """Whether it ended well before the end that it told, by number and by time: of some kinds one is a guess."""
        count = self.frame_count
        return count is not None and self._index < count * 0.97 - 3 and self._time_s < count * 0.97 / self.fps - 1


class SyntheticSource:
    """A moving bright square on grey, for tests and benchmarks; never touches a disk."""

    def __init__(self, frames: int, width: int = 320, height: int = 240, fps: float = 25.0) -> None:
        self.name = "synthetic"
        self.width, self.height, self.fps = width, height, fps
        self.frame_count: int | None = frames
        self._index = 0

    def read(self) -> Frame | None:
        if self.frame_count is not None and self._index >= self.frame_count:
            return None
        image = np.full((self.height, self.width, 3), 96, np.uint8)
        x = (self._index * 4) % max(1, self.width - 40)
        image[20:60, x : x + 40] = 220
        frame = Frame(self._index, self._index / self.fps, image)
        self._index += 1
        return frame

    def skip(self, count: int) -> int:
        left = count if self.frame_count is None else min(count, self.frame_count - self._index)
        self._index += left
        return left

    def close(self) -> None:
        pass


def open_source(address: str) -> FileSource | UrlSource:
    """The source for a path or a URL.

    Raises:
        UnmaskError: it cannot be opened; the message says why and what to do.
    """
    return UrlSource(address) if is_url(address) else FileSource(Path(address))


def may_wait(source: FrameSource) -> int:
    """How many frames may wait between two stages: eight, fewer of large ones, so that memory has a bound."""
    return max(1, min(8, WAITING_BYTES // max(1, source.width * source.height * 3)))


def without_password(address: str) -> str:
    """The address as it may be shown and stored: a URL loses its ``user:password@``, a path stays as it is."""
    if not is_url(address):
        return address
    scheme, rest = address.split("://", 1)
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def is_url(address: str) -> bool:
    return "://" in address and not Path(address).exists()


def check_readable(path: Path) -> None:
    """Make sure ``path`` is a regular file with something in it that may be read.

    Raises:
        UnmaskError: it is not.
    """
    try:
        status = path.stat()
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise UnmaskError(f"{path}: no such file; check the name") from None
        raise UnmaskError(f"{path}: cannot be read ({error.strerror}); check the name and its permissions") from None
    if stat.S_ISDIR(status.st_mode):
        raise UnmaskError(f"{path}: is a folder; give a file")
    if not stat.S_ISREG(status.st_mode):
        raise UnmaskError(f"{path}: is not a regular file; give a file")
    if status.st_size == 0:
        raise UnmaskError(f"{path}: the file is empty (0 bytes); try another copy")
    if not os.access(path, os.R_OK):
        raise UnmaskError(f"{path}: may not be read; give yourself read permission")


def _refuse_playlist(path: Path) -> None:
    """Make sure that ``path`` is a video and not a text that leads FFmpeg to other files.

    Raises:
        UnmaskError: it is.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError as error:
        raise UnmaskError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    if head.startswith((b"#EXTM3U", b"ffconcat", b"[playlist]")) or b"<MPD" in head or b"<CompositionPlaylist" in head:
        raise UnmaskError(f"{path}: this is a playlist, not a video; give the videos that it names")


def read_image(path: Path) -> ImageU8:
    """A picture, upright: uint8 BGR (H, W, 3).

    Raises:
        UnmaskError: the file is missing, empty, unreadable or no picture.
    """
    check_readable(path)
    # Before reading: videos are large. A GIF is both.
    if path.suffix.lower() in VIDEO_SUFFIXES - {".gif"}:
        raise UnmaskError(f"{path}: this is a video, not a picture; use python -m app scan")
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise UnmaskError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    if jpeg_layers(data) > MOST_LAYERS:
        raise UnmaskError(f"{path}: this JPEG is made of more than {MOST_LAYERS} layers; save it anew as a plain one")
    if png_lacks_data(data):
        raise UnmaskError(f"{path}: this PNG is cut off or damaged; try another copy")
    try:
        with stderr_silenced():
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            raise UnmaskError(
                f"{path}: has more than {MOST_PIXELS // 10**6} megapixels or a side above {MOST_SIDE} pixels, the most "
                "that is opened; make it smaller"
            ) from None
        image = None
    if image is None:
        raise UnmaskError(
            f"{path}: not a picture that can be read; it may be damaged or another kind of file, try another copy"
        )
    return np.asarray(image, np.uint8)


class _CannotOpen(Exception):
    pass


def _too_large(name: str) -> UnmaskError:
    return UnmaskError(
        f"{name}: its frames have more than {MOST_FRAME_PIXELS // 10**6} megapixels or a side above "
        f"{MOST_FRAME_SIDE} pixels, the most that is opened; make a smaller copy with resize_video.sh"
    )


def _open_capture(address: str, options: str, open_s: float, silent_s: float) -> Any:
    """A VideoCapture through FFmpeg; OpenCV takes FFmpeg's options from the environment only. 0 s is no deadline."""
    waits = ((cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, open_s), (cv2.CAP_PROP_READ_TIMEOUT_MSEC, silent_s))
    parameters = [number for key, seconds in waits if seconds for number in (key, round(seconds * 1000))]
    before = os.environ.get("OPENCV_FFMPEG_CAPTURE_OPTIONS")
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = options
    try:
        return cv2.VideoCapture(address, cv2.CAP_FFMPEG, parameters)
    finally:
        if before is None:
            del os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"]
        else:
            os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = before
