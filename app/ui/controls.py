"""Play, pause, step and speed for recorded sources; where it is and the way to suspicious moments."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QToolButton, QWidget

from app.ui.faces_panel import clock
from app.ui.look import described, follow

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0)


class Controls(QWidget):
    """A row under the picture; its buttons are the window's actions.

    Args:
        playing: play, pause and the like.
        previous, next_: to the suspicious moments before and after.
    """

    speed_changed = Signal(float)

    def __init__(
        self, playing: list[QAction], previous: QAction, next_: QAction, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 2, 8, 2)
        row.setSpacing(4)
        for action in playing:
            row.addWidget(_button(action))
        self._where = described(QLabel(), "Position", "Where this is in the video, and how long it is")
        self._speed = described(QComboBox(), "Speed", "How fast the video plays")
        self._speed.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        for speed in SPEEDS:
            self._speed.addItem(f"{speed:g}×", speed)
        self._speed.setCurrentIndex(SPEEDS.index(1.0))
        self._speed.activated.connect(lambda index: self.speed_changed.emit(SPEEDS[index]))
        row.addSpacing(8)
        row.addWidget(self._where)
        row.addStretch(1)
        row.addWidget(_button(previous))
        self._for_files = [QLabel("Suspicious moment"), QLabel("Speed"), self._speed]
        row.addWidget(self._for_files[0])
        row.addWidget(_button(next_))
        row.addStretch(1)
        row.addWidget(self._for_files[1])
        row.addWidget(self._speed)

    def reset(self) -> None:
        self.show_position(0.0, None)
        self._speed.setCurrentIndex(SPEEDS.index(1.0))

    def set_recorded(self, recorded: bool) -> None:
        """Speed and jumps are for recorded sources only."""
        for part in self._for_files:
            part.setEnabled(recorded)

    def show_position(self, time_s: float, duration_s: float | None) -> None:
        self._where.setText(clock(time_s) + (f" / {clock(duration_s)}" if duration_s else ""))


def _button(action: QAction) -> QToolButton:
    button = QToolButton(autoRaise=True)
    button.setDefaultAction(action)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return follow(button, action)
