"""What every FrameSource does: a file, a video behind an address, and the synthetic one."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from app.core.errors import UnmaskError
from app.core.records import Frame
from app.vision.sources import FileSource, FrameSource, SyntheticSource, UrlSource

SYNTHETIC_FRAMES = 30


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(demo_clip: Path) -> Iterator[str]:
    """The demo clip behind a server on this machine."""
    handler = functools.partial(_Quiet, directory=str(demo_clip.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, pytest.MonkeyPatch.context() as patch:
        for name in ("no_proxy", "NO_PROXY"):
            patch.setenv(name, "127.0.0.1")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{demo_clip.name}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module", params=["file", "url", "synthetic"])
def open_one(request: pytest.FixtureRequest, demo_clip: Path) -> Callable[[], FrameSource]:
    if request.param == "synthetic":
        return lambda: SyntheticSource(SYNTHETIC_FRAMES)
    if request.param == "file":
        return lambda: FileSource(demo_clip)
    there = request.getfixturevalue("address")
    return lambda: UrlSource(there)


@dataclass(frozen=True, slots=True)
class _Read:
    """All that was read of a source, without the pictures."""

    source: FrameSource
    stamps: list[tuple[int, float]]
    kinds: set[tuple[tuple[int, ...], np.dtype[np.uint8]]]
    after: list[Frame | None]


@pytest.fixture(scope="module")
def read(open_one: Callable[[], FrameSource]) -> _Read:
    source = open_one()
    stamps, kinds = [], set()
    while (frame := source.read()) is not None:
        stamps.append((frame.index, frame.time_s))
        kinds.add((frame.image.shape, frame.image.dtype))
    after = [source.read(), source.read()]
    source.close()
    return _Read(source, stamps, kinds, after)


class TestFrameSource:
    def test_it_says_what_it_is(self, read: _Read) -> None:
        assert read.source.name
        assert read.source.fps == 25

    def test_frames_come_in_order_from_0(self, read: _Read) -> None:
        assert [index for index, _ in read.stamps] == list(range(len(read.stamps)))

    def test_time_goes_on_from_0(self, read: _Read) -> None:
        times = [time_s for _, time_s in read.stamps]
        assert times[0] == 0
        assert all(before < after for before, after in pairwise(times))
        assert times[-1] == pytest.approx((len(times) - 1) / 25)

    def test_frames_are_as_announced(self, read: _Read) -> None:
        assert read.kinds == {((read.source.height, read.source.width, 3), np.dtype(np.uint8))}

    def test_the_number_of_frames_is_right(self, read: _Read) -> None:
        assert read.source.frame_count == len(read.stamps)
        assert len(read.stamps) in (325, SYNTHETIC_FRAMES)

    def test_after_the_end_there_is_no_more(self, read: _Read) -> None:
        assert read.after == [None, None]

    def test_skipping_counts(self, open_one: Callable[[], FrameSource]) -> None:
        source, same = open_one(), open_one()
        assert source.skip(0) == 0
        first = source.read()
        assert first is not None
        assert first.index == 0
        assert source.skip(4) == 4
        frame = source.read()
        assert frame is not None
        assert frame.index == 5
        for _ in range(5):
            assert same.read() is not None
        read = same.read()
        assert read is not None
        assert (read.index, read.time_s) == (frame.index, frame.time_s)
        assert np.array_equal(read.image, frame.image)
        source.close()
        same.close()

    def test_skipping_ends_at_the_end(self, open_one: Callable[[], FrameSource]) -> None:
        source = open_one()
        assert source.skip(10_000) == source.frame_count
        assert source.skip(1) == 0
        assert source.read() is None
        source.close()

    def test_it_can_be_closed_at_any_time_and_again(self, open_one: Callable[[], FrameSource]) -> None:
        source = open_one()
        assert source.read() is not None
        source.close()
        source.close()

    def test_frames_do_not_share_their_pixels(self, open_one: Callable[[], FrameSource]) -> None:
        source = open_one()
        first = source.read()
        assert first is not None
        before = first.image.copy()
        assert source.skip(3) == 3
        assert np.array_equal(first.image, before)
        source.close()


class TestCapture:
    """What files and addresses offer on top."""

    @pytest.fixture(params=["file", "url"])
    def source(self, request: pytest.FixtureRequest, demo_clip: Path) -> FileSource | UrlSource:
        return FileSource(demo_clip) if request.param == "file" else UrlSource(request.getfixturevalue("address"))

    def test_it_can_be_iterated(self, source: FileSource | UrlSource) -> None:
        with source as opened:
            assert [frame.index for frame, _ in zip(opened, range(3), strict=False)] == [0, 1, 2]
        assert source.read() is None, "closed on leaving"

    def test_it_is_named_after_the_file(self, source: FileSource | UrlSource) -> None:
        with source:
            assert source.name == "demo.mp4"


def test_an_address_with_nothing_behind_it_is_told(address: str) -> None:
    with pytest.raises(UnmaskError, match=r"missing\.mp4: nothing that can be played"):
        UrlSource(address.replace("demo.mp4", "missing.mp4"))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x.mp4", "http:///x.mp4", "concat:a"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(UnmaskError, match="only http"):
        UrlSource(url)
