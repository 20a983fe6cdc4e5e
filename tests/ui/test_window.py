"""The window driven as a person would: keys, clicks, menus and drops."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QEvent, QMimeData, QPoint, QPointF, QSettings, Qt, QUrl
from PySide6.QtGui import QColor, QDragEnterEvent, QDropEvent, QImage, QMouseEvent, QPalette
from PySide6.QtWidgets import (
    QApplication,
    QDialogButtonBox,
    QFileDialog,
    QInputDialog,
    QPushButton,
    QToolButton,
)

from app.core.records import Box, Detection, FaceResult, Frame, FrameResult, Opinion, Verdict
from app.pipeline.live_state import LiveState
from app.ui.choices import Memory, Settings, SourceChoice
from app.ui.main_window import MainWindow
from app.ui.settings_dialog import SettingsDialog
from app.ui.sources_menu import RegionPicker
from app.ui.video_view import VideoView, strength
from tests.ui.conftest import World
from tests.ui.driving import CAMERA, button, runs


def test_opens_by_shortcut(window: Any, qtbot: Any, until: Any, demo_clip: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(demo_clip), ""))
    qtbot.keyClick(window, Qt.Key.Key_O, Qt.KeyboardModifier.ControlModifier)
    until(lambda: runs(window))
    assert window.pages.currentWidget() is window.view
    assert "Demo clip" in window.windowTitle()


def test_opens_by_menu(window: Any, qtbot: Any, until: Any) -> None:
    window.show_sources()
    until(window.sources.isVisible)
    entry = window.sources.actionGeometry(window.sources.demo).center()
    qtbot.mouseClick(window.sources, Qt.MouseButton.LeftButton, pos=entry)
    until(lambda: runs(window))


def test_opens_by_drop(window: Any, until: Any, demo_clip: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(demo_clip))])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    copy = Qt.DropAction.CopyAction
    QApplication.sendEvent(window, QDragEnterEvent(QPoint(50, 50), copy, data, left, none))
    QApplication.sendEvent(window, QDropEvent(QPointF(50, 50), copy, data, left, none))
    until(lambda: runs(window))


def test_shows_the_verdict_in_words(window: Any, until: Any) -> None:
    window.open(CAMERA)
    until(lambda: "AI-GENERATED" in window.faces.overall)
    cards = window.faces._cards
    until(lambda: cards and "in the picture now" in cards[min(cards)]._seen.text())
    until(lambda: any("face 1" in window.log.item(i).text() for i in range(window.log.count())))


def test_space_pauses_and_goes_on(window: Any, qtbot: Any, until: Any) -> None:
    window.open(SourceChoice.of("demo"))
    until(lambda: runs(window))
    qtbot.keyClick(window, Qt.Key.Key_Space)
    until(lambda: window.bridge.state is LiveState.PAUSED)
    until(lambda: "Play" in window.does.play.text())
    qtbot.keyClick(window, Qt.Key.Key_Space)
    until(lambda: window.bridge.state is LiveState.RUNNING)


def test_click_on_the_timeline_seeks(window: Any, qtbot: Any, until: Any) -> None:
    window.open(SourceChoice.of("demo"))
    until(lambda: runs(window) and window.timeline._duration)
    qtbot.keyClick(window, Qt.Key.Key_Space)
    until(lambda: window.bridge.state is LiveState.PAUSED)
    canvas = window.timeline.canvas
    point = canvas.mapFrom(window.timeline, window.timeline.point_of(8.0).toPoint())
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=point)
    until(lambda: abs(window.bridge.newest[0].time_s - 8.0) < 0.3)
    qtbot.keyClick(window, Qt.Key.Key_Left)
    until(lambda: abs(window.bridge.newest[0].time_s - 3.0) < 0.4)


def test_step_goes_on_by_one_picture(window: Any, qtbot: Any, until: Any) -> None:
    window.open(SourceChoice.of("demo"))
    until(lambda: runs(window))
    qtbot.keyClick(window, Qt.Key.Key_Space)
    until(lambda: window.bridge.state is LiveState.PAUSED)
    before = window.bridge.newest[0].index
    qtbot.keyClick(window, Qt.Key.Key_Period)
    until(lambda: window.bridge.newest[0].index > before)


def test_threshold_of_the_settings_changes_the_verdict(
    window: Any, world: World, qtbot: Any, until: Any, store: QSettings
) -> None:
    world.logit = 1.5  # 82 %
    window.open(CAMERA)
    until(lambda: "CAN'T TELL" in window.faces.overall and "82" in window.faces.overall)
    qtbot.keyClick(window, Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier)
    dialog = window.findChild(SettingsDialog)
    dialog.use_own.setChecked(False)
    dialog.threshold.setValue(70)
    ok = dialog.findChild(QDialogButtonBox).button(QDialogButtonBox.StandardButton.Ok)
    qtbot.mouseClick(ok, Qt.MouseButton.LeftButton)
    until(lambda: "AI-GENERATED" in window.faces.overall)
    assert len(world.made) == 1, "the source must not be opened anew for a threshold"
    assert Memory(store).settings().threshold == 0.7


def test_records_a_snapshot_and_a_report(window: Any, qtbot: Any, until: Any, tmp_path: Path) -> None:
    window.open(CAMERA)
    until(lambda: runs(window) and window.bridge.engine.tracks())
    qtbot.keyClick(window, Qt.Key.Key_R)
    until(lambda: window.bridge.engine.recording and "Stop" in window.does.record.text())
    frames = window.bridge.engine.stats().frames
    until(lambda: window.bridge.engine.stats().frames > frames + 15)
    qtbot.keyClick(window, Qt.Key.Key_R)
    until(lambda: list(tmp_path.glob("kept/recordings/*/annotated.mp4")))
    until(lambda: "Record" in window.banner.text)
    qtbot.keyClick(window, Qt.Key.Key_S)
    until(lambda: list(tmp_path.glob("kept/snapshots/*.png")))
    qtbot.keyClick(window, Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    until(lambda: list(tmp_path.glob("kept/reports/*.html")))


def test_switching_leaves_one_engine(window: Any, world: World, until: Any) -> None:
    window.open(CAMERA)
    until(lambda: runs(window))
    window.open(SourceChoice.of("demo"))
    until(lambda: len(world.made) == 2 and runs(window))
    assert world.made[0].state is LiveState.STOPPED


def test_closes_while_loading(window: Any, world: World, until: Any) -> None:
    world.may_load.clear()
    window.open(CAMERA)
    until(lambda: window.bridge.newest is not None)
    assert window.bridge.state is LiveState.LOADING
    world.may_load.set()
    window.close()
    assert world.made[0].state is LiveState.STOPPED


def test_failure_is_told_with_a_way_out(window: Any, world: World, qtbot: Any, until: Any) -> None:
    world.load_error = "weights/x: the weights are not those its card describes; restore the file"
    window.open(CAMERA)
    until(lambda: window.banner.isVisible() and "restore the file" in window.banner.text)
    world.load_error = None
    qtbot.mouseClick(button(window.banner, "Try again"), Qt.MouseButton.LeftButton)
    until(lambda: runs(window))
    assert not window.banner.isVisible()


def test_unreadable_file_is_told(window: Any, until: Any, tmp_path: Path) -> None:
    window.open(SourceChoice.of(str(tmp_path / "nothing.mp4")))
    until(lambda: window.banner.isVisible() and "no such file" in window.banner.text)
    assert button(window.banner, "Choose another source").isVisible()


def test_camera_may_be_pulled_out_and_put_back(window: Any, world: World, until: Any) -> None:
    window.open(CAMERA)
    until(lambda: runs(window))
    world.plugged.clear()
    until(lambda: window.banner.isVisible() and "trying again" in window.banner.text)
    world.plugged.set()
    until(lambda: "is back" in window.banner.text)


def test_picture_is_judged_by_one_look(window: Any, world: World, until: Any, tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), world.image)
    window.open(SourceChoice.of(str(path)))
    until(lambda: "AI-GENERATED" in window.faces.overall)


def test_click_selects_a_face_and_h_shows_its_heatmap(window: Any, qtbot: Any, until: Any) -> None:
    window.open(CAMERA)
    until(lambda: runs(window) and window.view._faces())
    face = window.view._faces()[0]
    qtbot.mouseClick(
        window.view, Qt.MouseButton.LeftButton, pos=window.view.place(face.detection.box).center().toPoint()
    )
    assert window.view.selected == face.track
    qtbot.keyClick(window, Qt.Key.Key_H)
    until(lambda: window.view._heat is not None and window.view._heat.track == window.view.selected)


def test_full_screen_and_back(window: Any, qtbot: Any, until: Any) -> None:
    window.open(CAMERA)
    until(lambda: runs(window))
    qtbot.keyClick(window, Qt.Key.Key_F11)
    until(window.isFullScreen)
    assert not window.tools.isVisible() and not window.docks[0].isVisible()
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    until(lambda: not window.isFullScreen())
    assert window.tools.isVisible() and window.docks[0].isVisible()


def test_every_control_has_a_name(window: Any, until: Any) -> None:
    window.open(CAMERA)
    until(lambda: runs(window) and window.faces._cards)
    for kind in (QToolButton, QPushButton):
        for control in window.findChildren(kind):
            if control.isVisible() and not control.objectName().startswith("qt_"):
                assert control.accessibleName() or control.text() or control.toolTip(), control


def test_settings_and_recent_sources_last(store: QSettings, tmp_path: Path) -> None:
    memory = Memory(store)
    settings = Settings(threshold=0.8, min_size=90, device="cpu", output=tmp_path, notify=True, mirror=False)
    memory.keep(settings)
    memory.remember(SourceChoice.of("0"))
    memory.remember(SourceChoice.of("rtsp://user:secret@host/stream"))
    memory.remember(SourceChoice.of("/films/a.mp4"))
    store.sync()
    again = Memory(QSettings(store.fileName(), QSettings.Format.IniFormat))
    assert again.settings() == settings
    assert [c.address for c in again.recent()] == ["/films/a.mp4", "0"]
    store.setValue("threshold", "nonsense")
    assert Memory(store).settings().threshold is None


def test_cameras_are_listed_by_name(qtbot: Any, store: QSettings, until: Any) -> None:
    from app.ui.sources_menu import SourcesMenu
    from app.vision.live_sources import CameraInfo

    menu = SourcesMenu(Memory(store), lambda: [CameraInfo(0, "Front"), CameraInfo(2, "Desk")])
    qtbot.addWidget(menu)
    menu.cameras.aboutToShow.emit()
    until(lambda: [a.text() for a in menu.cameras.actions()] == ["Front", "Desk"])
    with qtbot.waitSignal(menu.chosen) as chosen:
        menu.cameras.actions()[1].trigger()
    assert chosen.args[0].address == "camera:Desk"


@pytest.mark.parametrize(("age_s", "shown"), [(0.0, 1.0), (0.15, 1.0), (0.5, 0.0), (3.0, 0.0)])
def test_results_fade(age_s: float, shown: float) -> None:
    assert strength(age_s) == shown
    assert 0 < strength(0.3) < 1


def test_picture_mirrors_boxes_not_texts(qtbot: Any) -> None:
    view = VideoView()
    qtbot.addWidget(view)
    view.resize(640, 480)
    frame = Frame(0, 0.0, np.full((240, 320, 3), 128, np.uint8))
    face = FaceResult(1, Detection(Box(20, 60, 100, 140), 0.9), None, None, Opinion(Verdict.FAKE, 0.97, "so"))
    view.show_frame(frame, FrameResult(0, 0.0, (face,)))
    assert view.place(face.detection.box).x() == 40
    orange = QColor("#D55E00")
    image: QImage = view.grab().toImage()
    assert image.pixelColor(QPoint(40, 200)).rgb() == orange.rgb()
    view.set_mirror(True)
    assert view.place(face.detection.box).right() == 600
    assert view.grab().toImage().pixelColor(QPoint(600, 200)).rgb() == orange.rgb()


def test_follows_the_palette_into_the_dark(window: Any, qapp: QApplication, until: Any) -> None:
    def ink() -> int:
        return window.does.full.icon().pixmap(20, 20).toImage().pixelColor(2, 2).lightness()

    old = qapp.palette()
    assert ink() < 100
    try:
        qapp.setPalette(QPalette(QColor(40, 40, 44)))
        until(lambda: ink() > 200)
    finally:
        qapp.setPalette(old)


def test_region_of_the_screen_is_drawn_with_the_mouse(qtbot: Any) -> None:
    picker = RegionPicker()  # It deletes itself when it closes.
    with qtbot.waitExposed(picker):
        picker.show_on_screen()
    with qtbot.waitSignal(picker.picked) as picked:
        qtbot.mousePress(picker, Qt.MouseButton.LeftButton, pos=QPoint(300, 250))
        qtbot.mouseMove(picker, QPoint(100, 200))
        qtbot.mouseRelease(picker, Qt.MouseButton.LeftButton, pos=QPoint(101, 120))
    area = picked.args[0]
    assert (area.x(), area.y(), area.width(), area.height()) == (101, 120, 198, 130)


def test_stream_is_asked_for_by_address(window: Any, world: World, qtbot: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(QInputDialog, "getText", lambda *_: (" camera.local/stream ", True))
    with qtbot.waitSignal(window.sources.chosen) as chosen:
        window.sources.stream.trigger()
    assert chosen.args[0].address == "http://camera.local/stream"
    assert chosen.args[0].is_live


def test_window_closes_in_time_while_a_source_hangs(qtbot: Any, world: World, store: QSettings, until: Any) -> None:
    window = MainWindow(store, make=world.make, cameras=list)
    qtbot.addWidget(window)
    window.show()
    world.may_load.clear()
    window.open(CAMERA)
    until(lambda: window.bridge.newest is not None)
    started = time.monotonic()
    window.close()
    assert time.monotonic() - started < 5
    world.may_load.set()
    assert world.made[0].join(20)


def test_actual_size_is_moved_by_dragging(qtbot: Any) -> None:
    view = VideoView()
    qtbot.addWidget(view)
    view.resize(400, 300)
    view.show_frame(Frame(0, 0.0, np.zeros((600, 800, 3), np.uint8)), None)
    view.set_fit(False)
    assert view.area().topLeft() == QPointF(-200, -150)
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(200, 150))
    drag = QMouseEvent(
        QEvent.Type.MouseMove,
        QPointF(250, 900),
        QPointF(250, 900),
        Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(view, drag)
    assert view.area().topLeft() == QPointF(-150, 0), "the picture's edge stays at the view's"
