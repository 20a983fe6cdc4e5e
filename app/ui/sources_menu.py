"""The picker of sources: cameras by name, files, pictures, streams, the screen, the demo clip, recent ones."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import partial

from PySide6.QtCore import QRect, Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QFileDialog, QInputDialog, QLineEdit, QMenu, QWidget

from app import DEMO
from app.ui.background import in_background
from app.ui.choices import Memory, SourceChoice, SourceKind, file_patterns
from app.ui.look import icon
from app.ui.region_picker import RegionPicker
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
        self.cameras.menuAction().setToolTip("Watch a camera of this machine")
        self.cameras.aboutToShow.connect(self._look_for_cameras)
        self.screen_menu = self.addMenu("&Screen")
        self.screen_menu.setToolTipsVisible(True)
        self.screen_menu.menuAction().setToolTip("Watch a video call or anything else on the screen")
        whole = self.screen_menu.addAction("&Whole screen", lambda: self.chosen.emit(SourceChoice.of("screen")))
        whole.setToolTip("Everything on the first screen, this window too where it is in the way")
        part = self.screen_menu.addAction("&Part of the screen…", self.ask_region)
        part.setToolTip("Draw a frame around what to watch, a video call for instance")
        self.screen_menu.menuAction().setVisible(can_watch_screen())
        self.stream = self.addAction("&Network stream…", self.ask_address)
        self.stream.setToolTip("Watch a network camera or a video by its address (rtsp, http)")
        self.demo = self.addAction("&Demo clip", lambda: self.chosen.emit(SourceChoice.of(str(DEMO))))
        self.demo.setToolTip("Thirteen seconds with one real and one generated face")
        self.last = self.addAction("", self._reopen)
        self.last.setShortcut("Ctrl+Shift+O")
        self.last.setToolTip("Go on with what was looked at last (Ctrl+Shift+O)")
        self.recent = self.addMenu("&Recent")
        self.recent.setToolTipsVisible(True)
        self.recent.menuAction().setToolTip("What was looked at last")
        self.recent.aboutToShow.connect(self._fill_recent)
        self.aboutToShow.connect(self.offer_last)
        self.offer_last()
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
            (self.last, "recent"),
            (self.recent.menuAction(), "recent"),
        ):
            action.setIcon(icon(name, palette))

    def starts(self) -> list[QAction]:
        """The ways to begin, for the first page."""
        every = [self.open_file, self.cameras.menuAction(), self.screen_menu.menuAction(), self.stream, self.demo]
        every.append(self.last)
        return [action for action in every if action.isVisible()]

    def offer_last(self) -> None:
        """Name the last source in the entry that opens it again."""
        last = next(iter(self._memory.recent()), None)
        self.last.setVisible(last is not None)
        title = "" if last is None else self.fontMetrics().elidedText(last.title, Qt.TextElideMode.ElideMiddle, 140)
        self.last.setText(f"&Again: {title.replace('&', '&&')}")

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

    def _reopen(self) -> None:
        if last := next(iter(self._memory.recent()), None):
            self.chosen.emit(last)

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
