"""A line across the window that says what happened and offers ways on. Never a dialog that stops everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

from PySide6.QtCore import QTimer
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from app.ui.look import described


class Way(NamedTuple):
    """A button: its words, what it does, and what that means."""

    name: str
    take: Callable[[], None]
    tip: str


INFO_MS = 8000
"""Good news go by themselves."""
EDGE = 8
"""Pixels of colour at the left."""


class Tone(StrEnum):
    INFO = "#009E73"
    TROUBLE = "#D55E00"


class Banner(QFrame):
    """One sentence, and a button for each way on. A new one replaces the old one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tone = Tone.INFO
        self._label = described(QLabel(wordWrap=True), "Message")
        self._label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self._buttons: list[QPushButton] = []
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(EDGE + 12, 9, 10, 9)
        self._row.addWidget(self._label, 1)
        self._timer = QTimer(self, singleShot=True, interval=INFO_MS)
        self._timer.timeout.connect(self.hide)
        self.hide()

    @property
    def text(self) -> str:
        return str(self._label.text())

    def tell(self, text: str, ways: Sequence[Way] = (), tone: Tone = Tone.TROUBLE) -> None:
        """Show ``text``; it stays until a way is taken or, where it is no trouble, for some seconds."""
        for button in self._buttons:
            button.deleteLater()
        self._tone = tone
        self.update()
        self._label.setText(text)
        self._buttons = [self._button(way) for way in [*ways, Way("Close", self.hide, "Hide this message")]]
        self.show()
        if tone is Tone.INFO:
            self._timer.start()
        else:
            self._timer.stop()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, palette = QPainter(self), self.palette()
        painter.fillRect(self.rect(), palette.base())
        # The colour is at the edge, where no words have to be read on it.
        painter.fillRect(0, 0, EDGE, self.height(), QColor(self._tone.value))
        painter.fillRect(0, self.height() - 1, self.width(), 1, palette.mid())
        painter.end()

    def _button(self, way: Way) -> QPushButton:
        button = described(QPushButton(way.name), way.name, way.tip)
        button.clicked.connect(self.hide)
        button.clicked.connect(lambda: way.take())
        self._row.addWidget(button)
        return button
