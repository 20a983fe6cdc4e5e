"""Makes the pictures in ``docs/images`` that show the window, from the demo clip and the shipped model.

xvfb-run -s "-screen 0 1280x800x24" .venv/bin/python -m tests.tools.make_screenshots
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PySide6.QtCore import QEventLoop, QSettings, QTimer
from PySide6.QtWidgets import QApplication

from app.ui.choices import SourceChoice
from app.ui.main_window import MainWindow

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"


def main() -> int:
    application = QApplication.instance() or QApplication([])
    assert isinstance(application, QApplication)
    application.setStyle("Fusion")
    with tempfile.TemporaryDirectory() as scratch:
        store = QSettings(str(Path(scratch) / "settings.ini"), QSettings.Format.IniFormat)
        store.setValue("output", scratch)
        window = MainWindow(store)
        window.resize(1280, 800)
        window.show()
        window.open(SourceChoice.of("demo"))
        _wait(20.0)  # the clip has ended: it stands still on its last frame, all five faces judged
        _save(window, "window.jpg")
        window.close()
        application.processEvents()
    return 0


def _wait(seconds: float) -> None:
    loop = QEventLoop()
    QTimer.singleShot(round(seconds * 1000), loop.quit)
    loop.exec()


def _save(window: MainWindow, name: str) -> None:
    window.grab().save(str(IMAGES / name), quality=85)
    print(IMAGES / name)


if __name__ == "__main__":
    sys.exit(main())
