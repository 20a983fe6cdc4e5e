"""The program with a window: ``run`` is all there is to call."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import NoReturn

from PySide6.QtCore import QCoreApplication, QSettings, QTimer
from PySide6.QtGui import QGuiApplication, QIcon
from PySide6.QtWidgets import QApplication

from app import DEMO, __version__
from app.ui.choices import SourceChoice
from app.ui.main_window import MainWindow
from app.vision.quiet import python_alone_on_stderr


def run(
    source: str | None = None,
    *,
    models: tuple[str, ...] | None = None,
    device: str | None = None,
    threshold: float | None = None,
    output: Path | None = None,
    redact: bool = False,
) -> int:
    """Show the window until it is closed; the exit code.

    Args:
        source: shown at once: a camera's number, ``screen``, ``screen:X,Y,WIDTH,HEIGHT``, ``demo``, a file or a URL.
        models, device, threshold, output, redact: for this time only, over the settings.
    """
    application = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(application, QApplication)
    QCoreApplication.setOrganizationName("Unmask")
    QCoreApplication.setApplicationName("Unmask")
    QCoreApplication.setApplicationVersion(__version__)
    # One look everywhere, and one that follows the system into the dark.
    application.setStyle("Fusion")
    application.setWindowIcon(_app_icon())
    QGuiApplication.setDesktopFileName("unmask")
    store = QSettings()
    window = MainWindow(store)
    window.override(models=models, device=device, threshold=threshold, output=output, redact=redact)
    window.show()
    choice = SourceChoice.of(source) if source is not None else window.memory.to_reopen()
    if choice is not None:
        QTimer.singleShot(0, window, lambda: window.open(choice))
    _quit_on_signals(window)
    # Only now: what Qt says of a display that it cannot use should be read.
    with python_alone_on_stderr():
        code: int = application.exec()
    store.sync()
    if not window.has_ended:
        _leave(code)
    return code


def _leave(code: int) -> NoReturn:
    """End the process with a thread still in native code, such as a model that is being compiled.

    Python's own end would pull that thread from under the native code, which aborts the process. Like there,
    threads that are no daemons are waited for: they complete a recording.
    """
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread():
            thread.join()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _quit_on_signals(window: MainWindow) -> None:
    """Ctrl-C in the terminal closes the window the way its button does."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: window.close())
    # Python sees signals only between its own instructions: wake it now and then.
    timer = QTimer(window, interval=200)
    timer.timeout.connect(lambda: None)
    timer.start()


def _app_icon() -> QIcon:
    """Half a face in each of the two colours of the verdicts."""
    return QIcon(str(DEMO.with_name("unmask.svg")))
