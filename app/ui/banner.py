"""A line across the window that says what happened and offers ways on. Never a dialog that stops everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from PySide6.QtCore import QTimer
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from app.ui.look import described, ink_on

Way = tuple[str, Callable[[], None]]
INFO_MS = 8000
"""Good news go by themselves."""


class Tone(StrEnum):
    INFO = "#009E73"
    TROUBLE = "#D55E00"


class Banner(QFrame):
    """One sentence, and a button for each way on. A new one replaces the old one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("banner")
        self._label = described(QLabel(wordWrap=True), "Message")
        self._label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self._buttons: list[QPushButton] = []
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(14, 8, 10, 8)
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
        ground = QColor(tone.value)
        ink = ink_on(ground).name()
        self.setStyleSheet(
            f"#banner {{ background: {ground.name()}; }} #banner QLabel {{ color: {ink}; }}"
            f"#banner QPushButton {{ color: {ink}; background: transparent; border: 1px solid {ink};"
            " border-radius: 4px; padding: 4px 10px; }"
            "#banner QPushButton:hover, #banner QPushButton:focus { border-width: 2px; padding: 3px 9px; }"
        )
        self._label.setText(text)
        self._buttons = [self._button(name, action) for name, action in [*ways, ("Close", self.hide)]]
        self.show()
        if tone is Tone.INFO:
            self._timer.start()
        else:
            self._timer.stop()

    def _button(self, name: str, action: Callable[[], None]) -> QPushButton:
        button: QPushButton = described(QPushButton(name), name)
        button.clicked.connect(self.hide)
        button.clicked.connect(lambda: action())
        self._row.addWidget(button)
        return button
