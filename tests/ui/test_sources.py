"""Cameras, streams and the last source, from the click to the fake driver or server underneath."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import cv2
import pytest
from PySide6.QtCore import QSettings, Qt
from PySide6.QtWidgets import QDialogButtonBox, QInputDialog

from app.pipeline import live_capture
from app.pipeline.live_state import LiveState
from app.ui.choices import Memory, Settings, SourceChoice
from app.ui.main_window import MainWindow
from app.ui.settings_dialog import SettingsDialog
from app.vision import live_sources, streams
from app.vision.live_sources import CameraInfo
from tests.stream_server import StreamServer
from tests.ui.conftest import World
from tests.ui.driving import CLOSE_S, button, choose, click, runs


class Driver:
    """What OpenCV makes of a camera: it may be unplugged, and another program may have it."""

    def __init__(self, image: Any) -> None:
        self.image = image
        self.plugged = True
        self.busy = False
        self.opened_by: list[threading.Thread] = []
        self.asked_for: list[int] = []

    def open(self, index: int, backend: int) -> SimpleNamespace:
        self.opened_by.append(threading.current_thread())
        self.asked_for.append(index)
        return SimpleNamespace(
            isOpened=lambda: self.plugged and not self.busy,
            set=lambda key, value: True,
            get=lambda key: 30.0 if key == cv2.CAP_PROP_FPS else 0.0,
            read=self._read,
            release=lambda: None,
        )

    def why_not(self, path: str, flags: int) -> int:
        if not self.plugged:
            raise OSError(errno.ENOENT, "no such device")
        if self.busy:
            raise OSError(errno.EBUSY, "busy")
        return 99

    def _read(self) -> tuple[bool, Any]:
        time.sleep(1 / 30)
        return (True, self.image) if self.plugged else (False, None)


@pytest.fixture
def driver(world: World, monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver(world.image)
    world.fake_cameras = False
    world.cameras = [CameraInfo(0, "Front"), CameraInfo(2, "Desk")]
    opening = SimpleNamespace(open=driver.why_not, close=lambda n: None, O_RDWR=2, O_NONBLOCK=4)
    monkeypatch.setattr(cv2, "VideoCapture", driver.open)
    monkeypatch.setattr(live_sources, "os", opening)
    monkeypatch.setattr(live_sources, "sys", SimpleNamespace(platform="linux"))
    monkeypatch.setattr(live_sources, "list_cameras", lambda: world.cameras if driver.plugged else [])
    monkeypatch.setattr(live_capture, "RETRY_PAUSES_S", (0.1, 0.2))
    return driver


def choose_camera(window: MainWindow, qtbot: Any, until: Any, name: str) -> None:
    window.show_sources()
    until(window.sources.isVisible)
    choose(qtbot, window.sources, window.sources.cameras.menuAction())
    cameras = window.sources.cameras
    until(lambda: cameras.isVisible() and name in [a.text() for a in cameras.actions()])
    choose(qtbot, cameras, next(a for a in cameras.actions() if a.text() == name))


def test_a_camera_is_chosen_by_its_name(window: Any, world: World, driver: Driver, qtbot: Any, until: Any) -> None:
    choose_camera(window, qtbot, until, "Desk")
    until(lambda: runs(window))
    assert "Desk" in window.windowTitle()
    assert driver.asked_for == [2]
    for thread in (*driver.opened_by, *world.listed_by):
        assert thread is not threading.main_thread(), "the window would stand still meanwhile"


def test_a_camera_pulled_out_comes_back(window: Any, driver: Driver, qtbot: Any, until: Any) -> None:
    choose_camera(window, qtbot, until, "Front")
    until(lambda: runs(window))
    driver.plugged = False
    until(lambda: "Front gives no pictures; trying again in 0.2 s" in window.banner.text)
    assert window.bridge.state is LiveState.RUNNING
    before = window.bridge.newest[0].index
    driver.plugged = True
    until(lambda: "Front is back" in window.banner.text)
    until(lambda: window.bridge.newest[0].index > before + 5)
    told = [window.log.item(n).text() for n in range(window.log.count())]
    assert any("is back" in line for line in told) and any("trying again" in line for line in told)


def test_a_busy_camera_is_told_and_tried_again(window: Any, driver: Driver, qtbot: Any, until: Any) -> None:
    driver.busy = True
    choose_camera(window, qtbot, until, "Front")
    until(lambda: window.banner.isVisible() and "Front: the camera is busy" in window.banner.text)
    driver.busy = False
    click(qtbot, button(window.banner, "Try again"))
    until(lambda: runs(window))
    assert not window.banner.isVisible()


def test_no_camera_is_told(window: Any, world: World, driver: Driver, qtbot: Any, until: Any) -> None:
    driver.plugged = False
    window.open(SourceChoice.of("0"))
    until(lambda: window.banner.isVisible() and "no camera is plugged in" in window.banner.text)
    click(qtbot, button(window.banner, "Choose another source"))
    until(window.sources.isVisible)
    world.cameras = []
    choose(qtbot, window.sources, window.sources.cameras.menuAction())
    until(lambda: "No camera found" in "".join(a.text() for a in window.sources.cameras.actions()))
    window.sources.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StreamServer]:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setattr(live_capture, "RETRY_PAUSES_S", (0.1, 0.2))
    server = StreamServer()
    yield server
    server.close()


@pytest.fixture
def ask(
    window: Any, server: StreamServer, qtbot: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """Open the server's stream as a person would."""

    def asked() -> None:
        monkeypatch.setattr(QInputDialog, "getText", lambda *_: (server.address, True))
        window.show_sources()
        until(window.sources.isVisible)
        choose(qtbot, window.sources, window.sources.stream)

    return asked


def test_a_stream_that_falls_silent(window: Any, server: StreamServer, ask: Any, until: Any) -> None:
    ask()
    until(lambda: runs(window))
    server.sends = False
    until(lambda: window.banner.isVisible() and "trying again in" in window.banner.text)
    server.sends = True
    until(lambda: "is back" in window.banner.text)
    assert window.bridge.state is LiveState.RUNNING


def test_a_silent_stream_does_not_hold_the_window(
    window: Any, server: StreamServer, world: World, ask: Any, until: Any
) -> None:
    ask()
    until(lambda: runs(window))
    server.sends = False
    time.sleep(0.3)  # What was on its way has come: the reader waits for more.
    started = time.monotonic()
    window.close()
    assert time.monotonic() - started < CLOSE_S < streams.SILENT_S
    assert world.made[0].join(0) and world.made[0].state is LiveState.STOPPED


def test_a_stream_that_never_answers_gives_way_to_another_source(
    window: Any, server: StreamServer, world: World, ask: Any, until: Any
) -> None:
    server.answers = False
    ask()
    until(lambda: server.met)
    assert window.bridge.state is LiveState.LOADING
    started = time.monotonic()
    window.open(SourceChoice.of("demo"))
    until(lambda: len(world.made) == 2)
    assert time.monotonic() - started < CLOSE_S
    assert world.made[0].state is LiveState.STOPPED and world.made[0].join(0)
    until(lambda: runs(window))


def test_recent_sources_are_offered(window: Any, world: World, qtbot: Any, until: Any) -> None:
    for address in ("demo", "0"):
        window.open(SourceChoice.of(address))
        until(lambda: runs(window))
    window.show_sources()
    until(window.sources.isVisible)
    choose(qtbot, window.sources, window.sources.recent.menuAction())
    until(window.sources.recent.isVisible)
    entries = window.sources.recent.actions()
    assert [entry.text() for entry in entries] == ["Camera 0", "Demo clip"]
    choose(qtbot, window.sources.recent, entries[1])
    until(lambda: len(world.made) == 3 and runs(window))
    assert "Demo clip" in window.windowTitle()


def test_the_last_source_is_one_key_away(window: Any, store: QSettings, qtbot: Any, until: Any) -> None:
    assert not window.sources.last.isVisible()
    qtbot.keyClick(window, Qt.Key.Key_O, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert window.bridge.choice is None, "there is no last source yet"
    window.open(SourceChoice.of("0"))
    until(lambda: runs(window))
    qtbot.keyClick(window, Qt.Key.Key_W, Qt.KeyboardModifier.ControlModifier)
    until(lambda: window.bridge.state is LiveState.IDLE)
    assert window.sources.last.text() == "&Again: Camera 0"
    qtbot.keyClick(window, Qt.Key.Key_O, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    until(lambda: runs(window))


def test_the_last_source_is_opened_at_the_start_only_if_asked(
    window: Any, store: QSettings, qtbot: Any, until: Any
) -> None:
    memory = Memory(store)
    window.open(SourceChoice.of("0"))
    until(lambda: runs(window))
    assert memory.to_reopen() is None
    qtbot.keyClick(window, Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier)
    dialog = window.findChild(SettingsDialog)
    dialog.reopen.setChecked(True)
    click(qtbot, dialog.findChild(QDialogButtonBox).button(QDialogButtonBox.StandardButton.Ok))
    until(lambda: memory.to_reopen() is not None)
    assert memory.to_reopen() == SourceChoice.of("0")
    assert Settings().reopen is False


def test_the_first_page_offers_the_last_source(qtbot: Any, world: World, store: QSettings) -> None:
    Memory(store).remember(SourceChoice.of("/films/a & b.mp4"))
    window = MainWindow(store, make=world.make, cameras=world.list_cameras)
    qtbot.addWidget(window)
    assert window.sources.last in window.sources.starts()
    assert "a && b.mp4" in window.sources.last.text()
