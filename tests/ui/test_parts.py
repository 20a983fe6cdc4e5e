"""What the parts of the window do, on an engine that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QSettings, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QComboBox

from app.core.cards import ModelCard
from app.core.consensus import Consensus
from app.core.records import Box, Detection, FaceResult, Frame, FrameResult, Opinion, Verdict
from app.pipeline.live_state import LiveState, LiveStats
from app.ui.choices import SourceChoice
from app.ui.figures import FiguresBar
from app.ui.look import verdict_colour
from app.ui.main_window import MainWindow
from app.ui.region_picker import RegionPicker
from app.ui.video_view import Heat, VideoView
from tests.ui.conftest import DEADLINE_MS
from tests.ui.palettes import palette
from tests.ui.scripted import Person, ScriptedEngine, maker

CAMERA, FILM = SourceChoice.of("0"), SourceChoice.of("film.mp4")
# Suspicious from 1 s on; what is shown follows the scores about a second later.
TURNING = Person(200, 90, 140, lambda t: 0.02 if t < 1 else 0.99)

Open = Callable[[SourceChoice], MainWindow]


@pytest.fixture
def opened(
    qtbot: Any, store: QSettings, make_card: Callable[..., ModelCard], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Open]:
    """Opens a window in which a face turns suspicious, paused at 3.96 s of 5."""
    card = make_card(thresholds={"min_sharpness": 0.0})
    monkeypatch.setattr("app.ui.main_window.read_consensus", lambda names: Consensus.of(card))
    windows: list[MainWindow] = []

    def show(source: SourceChoice) -> MainWindow:
        make = maker([TURNING], card, seconds=4.0, duration_s=5.0, state=LiveState.PAUSED)
        window = MainWindow(store, make=make, cameras=list)
        windows.append(window)
        qtbot.addWidget(window)
        with qtbot.waitExposed(window):
            window.show()
        qtbot.waitUntil(lambda: window.timeline is not None and window._consensus is not None, timeout=DEADLINE_MS)
        window.open(source)
        qtbot.waitUntil(lambda: window.bridge.newest is not None, timeout=DEADLINE_MS)
        window.bridge.refreshed.emit()
        return window

    yield show
    for window in windows:
        window.close()


def engine_of(window: MainWindow) -> ScriptedEngine:
    engine: Any = window.bridge.engine
    assert isinstance(engine, ScriptedEngine)
    return engine


def result(verdict: Verdict, time_s: float) -> FrameResult:
    face = FaceResult(1, Detection(Box(100, 80, 200, 180), 0.9), None, None, Opinion(verdict, 0.97, "so"))
    return FrameResult(0, time_s, (face,))


@pytest.mark.parametrize(("age_s", "seen"), [(0.1, "full"), (0.35, "faded"), (0.5, "gone"), (2.0, "gone")])
def test_boxes_fade_and_go(qtbot: Any, age_s: float, seen: str) -> None:
    view = VideoView()
    qtbot.addWidget(view)
    view.resize(640, 480)
    grey = Frame(0, 3.0, np.full((240, 320, 3), 128, np.uint8))
    view.show_frame(grey, result(Verdict.FAKE, 3.0 - age_s))
    edge = view.grab().toImage().pixelColor(QPoint(200, 300))
    full, none = verdict_colour(Verdict.FAKE).red(), 128
    expected = {"full": edge.red() == full, "faded": none < edge.red() < full, "gone": edge.red() == none}
    assert expected[seen], edge.name()


def test_heatmap_stays_within_the_picture(qtbot: Any) -> None:
    view = VideoView()
    qtbot.addWidget(view)
    view.resize(640, 600)  # 60 rows above and below the picture
    face = FaceResult(1, Detection(Box(0, 0, 320, 240), 0.9), None, None, Opinion(Verdict.FAKE, 0.97, "so"))
    view.show_frame(Frame(0, 0.0, np.zeros((240, 320, 3), np.uint8)), FrameResult(0, 0.0, (face,)))
    ground = view.grab().toImage().pixelColor(QPoint(320, 20))
    inside = view.grab().toImage().pixelColor(QPoint(320, 200))
    view.set_heat(Heat(1, np.ones((6, 6), np.float32), 1.6, "heat"))
    assert view.grab().toImage().pixelColor(QPoint(320, 20)) == ground
    assert view.grab().toImage().pixelColor(QPoint(320, 200)) != inside


def test_only_cameras_are_mirrored(opened: Open) -> None:
    window = opened(CAMERA)
    assert window.does.mirror.isChecked()
    window.open(FILM)
    assert not window.does.mirror.isChecked()


def test_timeline_shades_what_is_undecided(opened: Open) -> None:
    timeline = opened(FILM).timeline
    assert timeline is not None
    assert timeline._band.getRegion() == (0.2, 0.9)
    names = {text for _, text in timeline._plot.getAxis("right")._tickLevels[0]}
    assert names == {verdict.words for verdict in Verdict}


def test_dragging_over_the_timeline_seeks(opened: Open, qtbot: Any) -> None:
    window = opened(FILM)
    timeline = window.timeline
    assert timeline is not None

    def at(time_s: float) -> QPoint:
        return timeline.canvas.mapFrom(timeline, timeline.point_of(time_s).toPoint())

    qtbot.mousePress(timeline.canvas, Qt.MouseButton.LeftButton, pos=at(1.0))
    for time_s in (2.0, 9.0):
        left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        place = QPointF(at(time_s))
        move = QMouseEvent(QEvent.Type.MouseMove, place, place, Qt.MouseButton.NoButton, left, none)
        QApplication.sendEvent(timeline.canvas, move)
    assert engine_of(window).sought == pytest.approx([1.0, 2.0, 5.0], abs=0.05), "and never beyond the end"


def test_timeline_of_a_camera_does_not_seek(opened: Open, qtbot: Any) -> None:
    window = opened(CAMERA)
    assert window.timeline is not None
    qtbot.mouseClick(window.timeline.canvas, Qt.MouseButton.LeftButton, pos=QPoint(200, 40))
    assert not engine_of(window).sought
    assert not window.does.next.isEnabled() and not window.controls.findChild(QComboBox).isEnabled()


def test_suspicious_moments_are_gone_to(opened: Open) -> None:
    window = opened(FILM)
    window.does.previous.trigger()
    assert engine_of(window).sought == pytest.approx([2.0], abs=0.2)
    window.does.next.trigger()
    assert "No suspicious moment" in window.banner.text


def test_speed_is_chosen(opened: Open, qtbot: Any) -> None:
    window = opened(FILM)
    speed = window.controls.findChild(QComboBox)
    speed.setFocus()
    qtbot.keyClick(speed, Qt.Key.Key_Down)
    assert engine_of(window).speeds == [2.0]


def test_card_says_why_and_how_long(opened: Open) -> None:
    card = opened(FILM).faces._cards[1]
    assert "probability of AI generation over" in card._reason.text()
    assert "Seen for 4.0 s in 100 frames" in card._seen.text()
    assert card.has_picture


def test_card_has_a_picture_though_the_machine_is_slow(opened: Open) -> None:
    window = opened(FILM)
    window.faces.clear()
    engine = engine_of(window)
    window.faces.show_tracks(engine.tracks(), {}, {}, 0, lambda track: None)
    assert not window.faces._cards[1].has_picture
    window.faces.show_tracks(engine.tracks(), {}, {}, 0, engine.latest_face)
    assert window.faces._cards[1].has_picture


def test_all_parts_follow_into_the_dark_and_back(opened: Open, qapp: QApplication) -> None:
    window = opened(FILM)
    window.banner.tell("Something happened.")
    parts = [window.faces._cards[1], window.banner, window.timeline.canvas, window.controls, window.figures]
    before = qapp.palette()

    def lightness() -> list[int]:
        QApplication.processEvents()
        window.bridge.refreshed.emit()
        # A place that is the ground: between the edge and what stands there.
        return [part.grab().toImage().pixelColor(QPoint(part.width() // 2, 4)).lightness() for part in parts]

    try:
        for dark in (False, True, False):
            qapp.setPalette(palette(dark=dark))
            assert all((value < 100) is dark for value in lightness()), (dark, lightness())
            words = window.faces._cards[1]._reason.palette().windowText().color()
            assert (words.lightness() > 150) is dark
    finally:
        qapp.setPalette(before)


def test_cards_fit_beside_the_scroll_bar(opened: Open) -> None:
    window = opened(FILM)
    card = window.faces._cards[1]
    card._chip.show_opinion(Opinion(Verdict.FAKE, 1.0, ""))
    window.resize(900, 420)
    window.resizeDocks([window.docks[0]], [100], Qt.Orientation.Horizontal)
    QApplication.processEvents()
    assert card._chip.width() >= card._chip.sizeHint().width()
    assert card.visibleRegion().boundingRect().width() == card.width()


def test_closed_parts_stay_closed(opened: Open) -> None:
    window = opened(FILM)
    window.docks[0].close()
    window.close_source()
    assert all(dock.isHidden() for dock in window.docks) and window.controls.isHidden()
    window.open(FILM)
    assert window.docks[0].isHidden() and not window.docks[1].isHidden()
    window.close()
    again = opened(FILM)
    assert again.docks[0].isHidden() and not again.docks[1].isHidden()


def test_full_screen_keeps_everything_else_away(opened: Open) -> None:
    window = opened(FILM)
    around = [window.menuBar(), window.tools, window.statusBar(), window.controls, *window.docks]
    window.does.full.trigger()
    assert all(part.isHidden() for part in around)
    assert "Esc" in window.view._hint
    window.open(CAMERA)
    assert all(part.isHidden() for part in around), "another source brings nothing back"
    window.close_source()
    window.does.leave_full.trigger()
    assert not window.tools.isHidden() and all(dock.isHidden() for dock in window.docks)
    window.open(FILM)
    assert not any(part.isHidden() for part in around)


def test_figures_wait_for_the_model(qtbot: Any) -> None:
    figures = FiguresBar()
    qtbot.addWidget(figures)

    def words() -> list[str]:
        return [label.text() for label in figures._labels.values() if not label.isHidden()]

    stats = {"shown_fps": 25.0, "scored_fps": 20.0, "score_rate": 19.0, "age_s": 0.054, "inference_age_s": 0.02}
    stats |= {"dropped": 7, "position_s": 1.0, "duration_s": None, "frames": 30}
    figures.show_stats(LiveStats(**stats, device=""))
    assert words() == []
    figures.show_stats(LiveStats(**stats, device="CPU"), 24.4)
    assert words()[1:] == ["20 analysed/s", "19 scores/s", "boxes 54 ms behind", "7 dropped", "CPU"]
    assert words()[0] == "24 frames/s", "what is painted, not what the source gives"
    figures.show_stats(LiveStats(**stats, device="CPU"), 19.2)
    assert words()[0] == "19 of 25 frames/s"
    figures.show_stats(LiveStats(**stats, device="CPU"), 25.0)
    assert words() == ["25 frames/s", "20 analysed/s", "19 scores/s", "boxes 54 ms behind", "7 dropped", "CPU"]
    figures.show_stats(None)
    assert words() == []


def test_a_frame_that_is_painted_again_counts_once(qtbot: Any) -> None:
    now = 0.0
    view = VideoView(clock=lambda: now)
    qtbot.addWidget(view)
    view.show_frame(None, None)
    for index in range(3):
        now = index / 2
        view.show_frame(Frame(index, now, np.zeros((90, 160, 3), np.uint8)), None)
        for _ in range(3):
            view.update()
            view.grab()
    assert view.painted_fps == 2.0
    view.show_frame(Frame(3, 1.1, np.zeros((90, 160, 3), np.uint8)), None)
    assert view.painted_fps == 2.0, "it was not painted yet"
    now = 9.0
    assert view.painted_fps == 0.0, "the picture stands still"


def test_the_bar_tells_the_painted_rate(opened: Open) -> None:
    window = opened(FILM)
    window.bridge.refreshed.emit()
    # The drawn picture is one frame of a source that claims 25 a second.
    assert window.figures._labels["shown"].text() == "0 of 25 frames/s"


def test_region_is_shown_while_it_is_drawn(qtbot: Any) -> None:
    picker = RegionPicker()
    with qtbot.waitExposed(picker):
        picker.show_on_screen()
    qtbot.mousePress(picker, Qt.MouseButton.LeftButton, pos=QPoint(300, 250))
    qtbot.mouseMove(picker, QPoint(100, 200))
    assert picker._area == QRect(100, 200, 200, 50) and picker._size_text() == "too small"
    qtbot.mouseRelease(picker, Qt.MouseButton.LeftButton, pos=QPoint(100, 200))
    assert picker.isVisible(), "too small a region is no choice: the next try may begin"
    with qtbot.waitSignal(picker.destroyed):
        qtbot.keyClick(picker, Qt.Key.Key_Escape)
