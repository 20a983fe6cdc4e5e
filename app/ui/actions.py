"""Everything that can be done, each thing once: menus, toolbar and shortcuts share these."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence, QPalette
from PySide6.QtWidgets import QWidget

from app.ui.look import icon


class Actions:
    """The window's actions; what they do is connected by the window."""

    def __init__(self, window: QWidget) -> None:
        self._window = window
        self._icons: dict[QAction, str] = {}
        self.play = self._make("&Play", "play", "Space", "Play or pause; a paused camera shows its last picture")
        self.step = self._make("&One frame forward", "step", ".", "Pause, and go on by a single picture")
        self.back = self._make("5 s &back", None, "Left", "Go five seconds back")
        self.forth = self._make("5 s &forward", None, "Right", "Go five seconds forward")
        self.previous = self._make(
            "&Previous suspicious moment",
            "previous",
            "Ctrl+Left",
            "Go back to where a face turned to AI-GENERATED",
        )
        self.next = self._make(
            "&Next suspicious moment",
            "next",
            "Ctrl+Right",
            "Go on to where a face next turned to AI-GENERATED, as far as was seen",
        )
        self.record = self._make(
            "&Record", "record", "R", "Record the video with its boxes and numbers, until pressed again", checkable=True
        )
        self.snapshot = self._make("&Snapshot", "snapshot", "S", "Keep the picture on show, with its boxes")
        self.export = self._make(
            "&Export report",
            "report",
            "Ctrl+E",
            "Write a report of this session: one page for the browser, with the faces and the reasons",
        )
        self.heatmap = self._make(
            "&Heatmap", "heatmap", "H", "Show which parts of the selected face spoke for the verdict", checkable=True
        )
        self.mirror = self._make(
            "&Mirror",
            None,
            "M",
            "Show left and right as in a mirror; what is kept stays as the camera sees it",
            checkable=True,
        )
        self.actual = self._make(
            "&Actual size",
            None,
            "Ctrl+1",
            "One pixel of the video on one pixel of the screen, to be moved by dragging; else it fits in",
            checkable=True,
        )
        self.full = self._make(
            "&Full screen", "fullscreen", "F11", "Only the picture, on the whole screen; Esc leaves", checkable=True
        )
        self.close_source = self._make("&Close source", None, "Ctrl+W", "Stop and go back to the first page")
        self.settings = self._make("Se&ttings…", "settings", "Ctrl+,", "Threshold, device, model, folder and more")
        self.quit = self._make("&Quit", None, "Ctrl+Q", "Close Unmask")
        self.verdicts = self._make(
            "&What the verdicts mean", None, "F1", "What the verdicts mean and what the program cannot know"
        )
        self.card = self._make(
            "About the &model", None, None, "What the model was trained on, how well it does and where it fails"
        )
        self.leave_full = self._make("Leave full screen", None, "Esc", "Back to the window")
        self.dress(window.palette())

    def dress(self, palette: QPalette) -> None:
        """Draw the icons in the palette's colours."""
        for action, name in self._icons.items():
            action.setIcon(icon(name, palette))

    def show_playing(self, playing: bool) -> None:
        """Let the play action offer what it does next."""
        name = "pause" if playing else "play"
        if self._icons[self.play] != name:
            self._icons[self.play] = name
            self.play.setText("&Pause" if playing else "&Play")
            self.play.setIcon(icon(name, self._window.palette()))

    def show_recording(self, recording: bool) -> None:
        self.record.setChecked(recording)
        self.record.setText("&Stop recording" if recording else "&Record")
        self._icons[self.record] = "stop" if recording else "record"
        self.record.setIcon(icon(self._icons[self.record], self._window.palette()))

    def _make(
        self, text: str, picture: str | None, shortcut: str | None, tip: str, *, checkable: bool = False
    ) -> QAction:
        action = QAction(text, self._window, checkable=checkable)
        if shortcut:
            action.setShortcut(QKeySequence(shortcut))
            action.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
            tip += f" ({shortcut})"
        action.setToolTip(tip)
        if picture:
            self._icons[action] = picture
        # Shortcuts of actions hold only while the action is on a widget that is shown; menus hide in full screen.
        self._window.addAction(action)
        return action
