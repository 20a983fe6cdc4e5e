"""Makes the pictures in ``docs/images`` that show the window, from the demo clip and the shipped model.

xvfb-run -s "-screen 0 1280x800x24" .venv/bin/python -m tests.tools.make_screenshots
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEventLoop, QSettings, QTimer
from PySide6.QtWidgets import QApplication

from app.core.records import Verdict
from app.pipeline.live_state import LiveState
from app.ui.choices import SourceChoice
from app.ui.main_window import MainWindow
from tests.ui.palettes import palette

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
BOTH_FACES_S = 6.0
"""When the demo clip shows the photograph and the generated face side by side."""


def main() -> int:
    application = QApplication.instance() or QApplication([])
    assert isinstance(application, QApplication)
    application.setStyle("Fusion")
    with tempfile.TemporaryDirectory() as scratch:
        store = QSettings(str(Path(scratch) / "settings.ini"), QSettings.Format.IniFormat)
        store.setValue("output", scratch)
        window = MainWindow(store)
        window.resize(1280, 800)
        application.setPalette(palette(dark=False))
        window.show()
        window.open(SourceChoice.of("demo"))
        _until(lambda: _position(window) >= BOTH_FACES_S)
        window.does.play.trigger()
        _until(lambda: _still(window))
        window.faces.face_chosen.emit(_flagged(window))
        window.does.heatmap.trigger()
        _save(window, "window.jpg")
        window.does.heatmap.trigger()
        window.faces.face_chosen.emit(window.view.selected)
        window.does.play.trigger()
        application.setPalette(palette(dark=True))
        _until(lambda: _position(window) > BOTH_FACES_S + 1 and _still(window))
        _save(window, "window-dark.jpg")
        window.close()
        application.processEvents()
    return 0


def _position(window: MainWindow) -> float:
    return 0.0 if window.bridge.newest is None else window.bridge.newest[0].time_s


def _still(window: MainWindow) -> bool:
    """It is paused, and what is known is of the very picture on show."""
    frame, result = window.bridge.newest or (None, None)
    stands = window.bridge.state is LiveState.PAUSED
    return stands and frame is not None and result is not None and frame.index == result.index


def _flagged(window: MainWindow) -> int:
    assert window.bridge.newest is not None and window.bridge.newest[1] is not None
    return next(f.track for f in window.bridge.newest[1].faces if f.opinion.verdict is Verdict.FAKE)


def _until(condition: Callable[[], bool]) -> None:
    loop = QEventLoop()
    timer = QTimer(interval=20)
    timer.timeout.connect(lambda: loop.quit() if condition() else None)
    timer.start()
    loop.exec()


def _save(window: MainWindow, name: str) -> None:
    loop = QEventLoop()
    QTimer.singleShot(1500, loop.quit)  # cards and figures follow the picture
    loop.exec()
    window.grab().save(str(IMAGES / name), quality=85)
    print(IMAGES / name)


if __name__ == "__main__":
    sys.exit(main())
