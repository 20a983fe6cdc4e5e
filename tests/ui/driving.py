"""What the window's tests share: sources, and ways to look and click."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QPushButton, QWidget

from app.pipeline.live_state import LiveState
from app.ui.choices import SourceChoice
from app.ui.main_window import MainWindow

CAMERA = SourceChoice.of("0")
CLOSE_S = 2.0
"""Within so many seconds everything must have ended."""


def runs(window: MainWindow) -> bool:
    """Whether the picture moves."""
    return window.bridge.state is LiveState.RUNNING and window.bridge.newest is not None


def button(parent: QWidget, text: str) -> QPushButton:
    """The newest button with this text."""
    return [b for b in parent.findChildren(QPushButton) if b.text() == text][-1]


def click(qtbot: Any, widget: QWidget, at: QPoint | None = None) -> None:
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton, pos=QPoint() if at is None else at)


def choose(qtbot: Any, menu: QMenu, entry: QAction) -> None:
    """Click an entry of a menu that is open."""
    qtbot.mouseClick(menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(entry).center())
