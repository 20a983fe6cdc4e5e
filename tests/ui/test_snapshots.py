"""The window's main states against pictures of them, so that nothing goes missing or moves unseen.

Made again, after a change that is meant, by

    UNMASK_SNAPSHOTS=keep .venv/bin/python -m pytest tests/ui/test_snapshots.py

and to be looked at before they are kept. A failed test says where the picture it saw lies. The pictures show drawn
ovals, never people. They do not depend on the fonts of the machine: the texts are set in the font beside this file
(DejaVu Sans, fewer characters), unhinted, and compared with a tolerance, at half the window's size.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PySide6.QtCore import QSettings
from PySide6.QtGui import QFont, QFontDatabase, QImage
from PySide6.QtWidgets import QApplication

from app.core.cards import ModelCard
from app.core.consensus import Consensus
from app.pipeline.live_state import LiveState
from app.ui.choices import SourceChoice
from app.ui.main_window import MainWindow
from app.ui.video_view import VideoView
from tests.ui.conftest import DEADLINE_MS
from tests.ui.palettes import palette
from tests.ui.scripted import Person, maker

HERE = Path(__file__).parent
SIZE = (1120, 704)
TILE = 16
"""Pixels of a kept picture; a difference is told tile by tile, since a small part missing is lost in the whole."""
TOLERANCE = 5.0
"""Mean difference of a tile in grey levels; other fonts and font settings of the machine make none."""
KEEP = os.environ.get("UNMASK_SNAPSHOTS") == "keep"

CAMERA, FILM = SourceChoice.of("0"), SourceChoice.of("film.mp4")
REAL = Person(240, 110, 130, lambda t: 0.04)
FAKE = Person(380, 90, 120, lambda t: 0.97)
TURNING = Person(200, 90, 140, lambda t: 0.1 if t < 1 else 0.55 if t < 1.6 else 0.98)
SEVERAL = (
    Person(40, 60, 110, lambda t: 0.03),
    Person(220, 50, 120, lambda t: 0.98),
    Person(400, 70, 100, lambda t: 0.5),
    Person(560, 100, 34, lambda t: 0.5),
)

Look = Callable[..., MainWindow]


@pytest.fixture
def card(make_card: Callable[..., ModelCard]) -> ModelCard:
    gates = {"min_sharpness": 0.0, "min_brightness": 0.0, "max_brightness": 255.0, "max_yaw": 1.0}
    return make_card(thresholds=gates)


@pytest.fixture(params=[False])
def dark(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def pinned(qapp: QApplication, dark: bool) -> Iterator[None]:
    """Font, style and colours that no machine changes."""
    fonts = [QFontDatabase.addApplicationFont(str(path)) for path in sorted((HERE / "fonts").glob("*.ttf"))]
    family = QFontDatabase.applicationFontFamilies(fonts[0])[0]
    before = qapp.font(), qapp.palette()
    font = QFont(family, 10)
    font.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
    font.setStyleStrategy(QFont.StyleStrategy.NoSubpixelAntialias)
    qapp.setFont(font)
    qapp.setStyle("Fusion")
    qapp.setPalette(palette(dark=dark))
    yield
    qapp.setFont(before[0])
    qapp.setPalette(before[1])
    for number in fonts:
        QFontDatabase.removeApplicationFont(number)


@pytest.fixture
def look(
    pinned: None, qtbot: Any, store: QSettings, card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Look]:
    """Opens a window on drawn people, and waits until it shows all there is."""
    monkeypatch.setattr("app.ui.main_window.read_consensus", lambda names: Consensus.of(card))
    monkeypatch.setattr("app.ui.sources_menu.can_watch_screen", lambda: True)
    # The drawn picture stands still; what is pictured is a window that keeps up with its source.
    monkeypatch.setattr(VideoView, "painted_fps", 25.0)
    windows: list[MainWindow] = []

    def show(source: SourceChoice | None = None, people: Any = (), **how: Any) -> MainWindow:
        window = MainWindow(store, make=maker(people, card, **how), cameras=list)
        windows.append(window)
        qtbot.addWidget(window)
        window.resize(*SIZE)
        with qtbot.waitExposed(window):
            window.show()
        qtbot.waitUntil(lambda: window.timeline is not None and window._consensus is not None, timeout=DEADLINE_MS)
        if source is not None:
            window.open(source)
            wanted = how.get("state", LiveState.RUNNING)
            qtbot.waitUntil(lambda: window.bridge.state is wanted, timeout=DEADLINE_MS)
            qtbot.waitUntil(lambda: not people or window.bridge.newest is not None, timeout=DEADLINE_MS)
            window.bridge.refreshed.emit()
        return window

    yield show
    for window in windows:
        window.close()


def check(window: MainWindow, name: str, folder: Path) -> None:
    """Compare the window with the kept picture ``name``, or keep it."""
    seen = picture_of(window)
    kept_at = HERE / "snapshots" / f"{name}.png"
    if KEEP:
        cv2.imwrite(str(kept_at), seen, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        return
    kept = cv2.imread(str(kept_at))
    assert kept is not None, f"there is no picture of {name} yet: see the top of this file"
    difference, place = worst_tile(seen, np.asarray(kept, np.uint8))
    seen_at = folder / f"{name}.png"
    cv2.imwrite(str(seen_at), seen)
    assert difference <= TOLERANCE, f"{name} differs by {difference:.1f} at {place}: compare {seen_at} with {kept_at}"


def picture_of(window: MainWindow) -> npt.NDArray[np.uint8]:
    """The window at half its size, uint8 BGR."""
    if focus := window.focusWidget():
        focus.clearFocus()
    QApplication.processEvents()
    image = window.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    assert (image.width(), image.height()) == SIZE, "the pictures are of a screen with one pixel a point"
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    pixels = rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3)
    half = cv2.resize(pixels, (SIZE[0] // 2, SIZE[1] // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(half, cv2.COLOR_RGB2BGR), np.uint8)


def worst_tile(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> tuple[float, tuple[int, int]]:
    """The largest mean difference of a tile, and where in the window (x, y) that tile is."""
    assert one.shape == other.shape
    apart = np.abs(one.astype(np.float32) - other.astype(np.float32)).mean(axis=2)
    height, width = apart.shape
    tiles = apart.reshape(height // TILE, TILE, width // TILE, TILE).mean(axis=(1, 3))
    row, column = np.unravel_index(int(tiles.argmax()), tiles.shape)
    return float(tiles.max()), (2 * TILE * int(column), 2 * TILE * int(row))


def test_first_run(look: Look, tmp_path: Path) -> None:
    check(look(), "first_run", tmp_path)


def test_one_real_face(look: Look, tmp_path: Path) -> None:
    check(look(CAMERA, [REAL]), "real", tmp_path)


def test_one_fake_face_with_its_heatmap(look: Look, tmp_path: Path) -> None:
    window = look(CAMERA, [FAKE])
    window.does.heatmap.trigger()
    window.faces.face_chosen.emit(1)
    check(window, "fake", tmp_path)


def test_several_faces(look: Look, tmp_path: Path) -> None:
    check(look(CAMERA, SEVERAL), "several", tmp_path)


def test_paused_file_with_its_timeline(look: Look, tmp_path: Path) -> None:
    check(look(FILM, [TURNING], state=LiveState.PAUSED, duration_s=5.0), "paused", tmp_path)


def test_failure(look: Look, tmp_path: Path) -> None:
    window = look(FILM, state=LiveState.FAILED, error="film.mp4: not a video that can be read; try another copy")
    check(window, "failure", tmp_path)


@pytest.mark.parametrize("dark", [True], indirect=True)
def test_dark(look: Look, tmp_path: Path) -> None:
    check(look(CAMERA, SEVERAL), "dark", tmp_path)


@pytest.mark.parametrize("missing", ["box", "panel", "figures", "line", "thumbnail"])
def test_what_goes_missing_is_seen(look: Look, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself: it must not be so tolerant that it sees nothing."""
    window = look(FILM, [TURNING], state=LiveState.PAUSED, duration_s=5.0)
    whole = picture_of(window)
    window.bridge._timer.stop()  # It would put back what is taken away.
    match missing:
        case "box":
            monkeypatch.setattr(window.view, "_draw_face", lambda painter, face: None)
            window.view.update()
        case "panel":
            window.docks[0].hide()
        case "figures":
            window.figures.show_stats(None)
        case "line":
            assert window.timeline is not None
            window.timeline.show_lines({}, 0)
        case "thumbnail":
            window.faces._cards[1]._picture.clear()
    assert worst_tile(picture_of(window), whole)[0] > TOLERANCE
