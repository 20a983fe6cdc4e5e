"""Messages of the desktop, for when the window is not in sight."""

from __future__ import annotations

from PySide6.QtCore import QProcess
from PySide6.QtWidgets import QApplication, QSystemTrayIcon, QWidget


class DesktopNotices:
    """Tells through the tray, or where the desktop has none (GNOME) through ``notify-send``."""

    def __init__(self, window: QWidget) -> None:
        self._window = window
        self._tray: QSystemTrayIcon | None = None

    def tell(self, title: str, text: str) -> None:
        QApplication.alert(self._window)  # The last resort: an entry of the task bar that asks for attention.
        if QSystemTrayIcon.isSystemTrayAvailable():
            if self._tray is None:
                self._tray = QSystemTrayIcon(self._window.windowIcon(), self._window)
            self._tray.show()
            self._tray.showMessage(title, text)
        else:
            QProcess.startDetached("notify-send", ["--app-name=Unmask", "--", title, text])

    def close(self) -> None:
        """Leave no icon behind."""
        if self._tray is not None:
            self._tray.hide()
