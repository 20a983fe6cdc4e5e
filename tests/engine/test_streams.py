"""Network streams from a server on this machine: whatever it does, whoever watches can leave at once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from app.core.cards import ModelCard
from app.core.errors import UnmaskError
from app.core.records import Frame
from app.pipeline import live_capture
from app.pipeline.live import EventKind, LiveState
from app.vision import streams
from app.vision.live_sources import opener
from app.vision.streams import StreamSource
from tests.engine.support import Film, Watched, models_of, until
from tests.stream_server import StreamServer

Watch = Callable[..., Watched]
DEADLINE_S = 2.0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StreamServer]:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    server = StreamServer()
    yield server
    server.close()


@pytest.fixture
def watched(watch: Watch, card: ModelCard, server: StreamServer) -> Watched:
    return watch(opener(server.address)[0], lambda: models_of(card), live=True)


def _ends_in_time(watched: Watched) -> bool:
    watched.engine.stop()
    return watched.engine.join(DEADLINE_S) and watched.engine.state is LiveState.STOPPED


def test_it_is_shown_and_left(watched: Watched) -> None:
    watched.engine.start()
    until(watched.engine.latest_result)
    frame = watched.engine.latest_frame()
    assert frame is not None and frame.image.shape == (120, 160, 3)
    assert abs(int(frame.image.mean()) - 90) <= 2
    assert _ends_in_time(watched)


def test_one_that_never_answers_can_be_left(watched: Watched, server: StreamServer) -> None:
    server.answers = False
    watched.engine.start()
    until(lambda: server.met)
    assert watched.engine.state is LiveState.LOADING
    assert _ends_in_time(watched)
    assert watched.engine.error is None, "leaving is no failure"


def test_one_that_falls_silent_can_be_left(watched: Watched, server: StreamServer) -> None:
    watched.engine.start()
    until(watched.engine.latest_result)
    server.sends = False
    time.sleep(0.3)  # What was on its way has come; now the reader waits for more.
    assert _ends_in_time(watched)
    assert not watched.has(EventKind.SOURCE_LOST)


@pytest.mark.parametrize("how", ["silent", "broken off"])
def test_it_is_brought_back(watched: Watched, server: StreamServer, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(live_capture, "RETRY_PAUSES_S", (0.1, 0.2))
    server.breaks = how == "broken off"
    watched.engine.start()
    until(watched.engine.latest_result)
    server.sends = False
    until(lambda: watched.has(EventKind.SOURCE_LOST))
    server.sends, server.breaks = True, False
    until(lambda: watched.has(EventKind.SOURCE_BACK))
    assert watched.engine.state is LiveState.RUNNING and watched.engine.error is None
    assert server.met >= 2
    assert _ends_in_time(watched)


def test_a_server_that_is_not_there(watch: Watch, card: ModelCard) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    watched = watch(opener(f"http://user:secret@127.0.0.1:{port}/live")[0], lambda: models_of(card), live=True)
    watched.engine.start()
    until(lambda: watched.engine.state is LiveState.FAILED)
    assert "nothing that can be played answers there" in str(watched.engine.error)
    assert "secret" not in str(watched.engine.error)


def test_a_recorded_video_that_breaks_off_has_not_ended(watch: Watch, card: ModelCard) -> None:
    """Played like a file; that the connection was cut must not look like the video's end."""

    class Cut(Film):
        def connect(self) -> None:
            self.frame_count = 200

        def interrupt(self) -> None: ...

        def read(self) -> Frame | None:
            return super().read() if self._index < 20 else None

    watched = watch(Cut, lambda: models_of(card), live=False)
    watched.engine.start()
    until(lambda: watched.engine.state is LiveState.FAILED)
    assert "broke off" in str(watched.engine.error)
    assert not watched.has(EventKind.ENDED)


def test_the_child_goes_with_its_reader(server: StreamServer) -> None:
    source = StreamSource(server.address)
    source.connect()
    assert source.read() is not None
    child = source._process
    source.close()
    source.close()
    source.interrupt()
    assert child.returncode is not None
    assert source.read() is None
    assert streams.SILENT_S > DEADLINE_S, "else nothing here shows that waiting is cut short"


def test_left_while_it_connects(server: StreamServer) -> None:
    server.answers = False
    source = StreamSource(server.address)
    threading.Timer(0.1, source.interrupt).start()
    with pytest.raises(UnmaskError, match="was left"):
        source.connect()
    source.close()
