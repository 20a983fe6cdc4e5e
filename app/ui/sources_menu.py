"""The picker of sources: cameras by name, files, pictures, streams, the screen, the demo clip, recent ones."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import partial

from PySide6.QtCore import QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import QAction, QColor, QGuiApplication, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QFileDialog, QInputDialog, QLineEdit, QMenu, QRubberBand, QWidget

from app import DEMO
from app.ui.background import in_background
from app.ui.choices import Memory, SourceChoice, SourceKind, file_patterns
from app.ui.look import icon
from app.vision.live_sources import CameraInfo, list_cameras

CameraLister = Callable[[], Sequence[CameraInfo]]


def can_watch_screen() -> bool:
    """Whether what takes pictures of the screen is installed."""
    return importlib.util.find_spec("mss") is not None


class SourcesMenu(QMenu):
    """Everything that can be looked at. Choosing tells ``chosen``; nothing is opened here."""

    chosen = Signal(object)

    def __init__(self, memory: Memory, cameras: CameraLister = list_cameras, parent: QWidget | None = None) -> None:
        super().__init__("&Source", parent)
        self._memory, self._list_cameras = memory, cameras
        self._region: RegionPicker | None = None
        self.setToolTipsVisible(True)
        self.open_file = self.addAction("&Open video or picture…", self.ask_file)
        self.open_file.setShortcut("Ctrl+O")
        self.open_file.setToolTip("Choose a file; you can also drop one into the window")
        self.cameras = self.addMenu("&Camera")
        self.cameras.setToolTip("Watch a camera of this machine")
        self.cameras.aboutToShow.connect(self._look_for_cameras)
        self.screen_menu = self.addMenu("&Screen")
        self.screen_menu.setToolTip("Watch a video call or anything else on the screen")
        self.screen_menu.addAction("&Whole screen", lambda: self.chosen.emit(SourceChoice.of("screen")))
        self.screen_menu.addAction("&Part of the screen…", self.ask_region)
        self.screen_menu.menuAction().setVisible(can_watch_screen())
        self.stream = self.addAction("&Network stream…", self.ask_address)
        self.stream.setToolTip("Watch a network camera or a video by its address (rtsp, http)")
        self.demo = self.addAction("&Demo clip", lambda: self.chosen.emit(SourceChoice.of(str(DEMO))))
        self.demo.setToolTip("Thirteen seconds with one real and one generated face")
        self.recent = self.addMenu("&Recent")
        self.recent.setToolTip("What was looked at last")
        self.recent.aboutToShow.connect(self._fill_recent)
        self.dress()

    def dress(self) -> None:
        """Draw the icons in the palette's colours."""
        palette = self.palette()
        for action, name in (
            (self.open_file, "open"),
            (self.cameras.menuAction(), "camera"),
            (self.screen_menu.menuAction(), "screen"),
            (self.stream, "stream"),
            (self.demo, "play"),
            (self.recent.menuAction(), "recent"),
        ):
            action.setIcon(icon(name, palette))

    def starts(self) -> list[QAction]:
        """The ways to begin, for the first page."""
        every = [self.open_file, self.cameras.menuAction(), self.screen_menu.menuAction(), self.stream, self.demo]
        every += [self.recent.menuAction()] if self._memory.recent() else []
        return [action for action in every if action.isVisible()]

    def ask_file(self) -> None:
        videos, pictures = file_patterns()
        kinds = f"Videos and pictures ({videos} {pictures});;Videos ({videos});;Pictures ({pictures});;All files (*)"
        last = next((c.address for c in self._memory.recent() if c.kind in (SourceKind.FILE, SourceKind.PICTURE)), "")
        path, _ = QFileDialog.getOpenFileName(self.parentWidget(), "Open video or picture", last, kinds)
        if path:
            self.chosen.emit(SourceChoice.of(path))

    def ask_address(self) -> None:
        text, accepted = QInputDialog.getText(
            self.parentWidget(),
            "Network stream",
            "Address of the stream (rtsp://… or http://…):",
            QLineEdit.EchoMode.Normal,
        )
        if accepted and text.strip():
            address = text.strip()
            # Whoever types "camera.local/stream" means an address, never a file.
            self.chosen.emit(SourceChoice.of(address if "://" in address else f"http://{address}"))

    def ask_region(self) -> None:
        self._region = RegionPicker()
        self._region.picked.connect(self._take_region)
        self._region.show_on_screen()

    def _take_region(self, region: QRect) -> None:
        x, y, width, height = region.x(), region.y(), region.width(), region.height()
        self.chosen.emit(SourceChoice.of(f"screen:{x},{y},{width},{height}"))

    def _look_for_cameras(self) -> None:
        self.cameras.clear()
        self.cameras.addAction("Looking for cameras…").setEnabled(False)
        in_background(self, self._list_cameras, self._fill_cameras, self._no_cameras)

    def _fill_cameras(self, found: Sequence[CameraInfo]) -> None:
        self.cameras.clear()
        for camera in found:
            # By name: numbers change when cameras are plugged in and out.
            choice = SourceChoice.of(f"camera:{camera.name}")
            self.cameras.addAction(camera.name, partial(self.chosen.emit, choice))
        if not found:
            self._no_cameras("No camera found; plug one in and look again")

    def _no_cameras(self, why: str) -> None:
        self.cameras.clear()
        self.cameras.addAction(why).setEnabled(False)

    def _fill_recent(self) -> None:
        self.recent.clear()
        for choice in self._memory.recent():
            action = self.recent.addAction(choice.title, partial(self.chosen.emit, choice))
            action.setToolTip(choice.address)
        if self.recent.isEmpty():
            self.recent.addAction("Nothing yet").setEnabled(False)


class RegionPicker(QWidget):
    """Darkens the screen and lets a region be drawn on it; Esc leaves without one."""

    picked = Signal(QRect)
    """In the screen's own pixels, as capturing counts them."""

    SMALLEST = 64

    def __init__(self) -> None:
        super().__init__(None, Qt.WindowType.FramelessWindowHint | Qt.WindowType.WindowStaysOnTopHint)
        self.setAttribute(Qt.WidgetAttribute.WA_TranslucentBackground)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setAccessibleName("Drag over the part of the screen to watch; Escape cancels")
        self._start = QPoint()
        self._band = QRubberBand(QRubberBand.Shape.Rectangle, self)

    def show_on_screen(self) -> None:
        self.setGeometry(QGuiApplication.primaryScreen().geometry())
        self.showFullScreen()
        self.activateWindow()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(0, 0, 0, 110))
        painter.setPen(Qt.GlobalColor.white)
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "Drag over the part to watch. Esc cancels.")
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._start = event.position().toPoint()
        self._band.setGeometry(QRect(self._start, QSize()))
        self._band.show()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._band.setGeometry(self._area_to(event.position().toPoint()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        area = self._area_to(event.position().toPoint())
        ratio = self.devicePixelRatioF()
        self.close()
        if min(area.width(), area.height()) * ratio >= self.SMALLEST:
            x, y, width, height = (round(v * ratio) for v in (area.x(), area.y(), area.width(), area.height()))
            # Encoders want even sides.
            self.picked.emit(QRect(x, y, width - width % 2, height - height % 2))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.close()

    def _area_to(self, end: QPoint) -> QRect:
        x, y = sorted((self._start.x(), end.x())), sorted((self._start.y(), end.y()))
        return QRect(x[0], y[0], x[1] - x[0], y[1] - y[0])
