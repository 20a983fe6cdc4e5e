"""The program from its start to its end, as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

START = """
from PySide6.QtCore import QTimer
from app.ui import application
real = application.MainWindow.show
def show(window):
    real(window)
    QTimer.singleShot(0, lambda: print("here", flush=True))
application.MainWindow.show = show
raise SystemExit(application.run())
"""


def test_window_opens_and_an_interrupt_closes_it(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "QT_QPA_PLATFORM": "offscreen"}
    process = subprocess.Popen(
        [sys.executable, "-c", START],
        env=os.environ | home,
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert list(tmp_path.rglob("Unmask.conf")), "the layout is kept"
    finally:
        process.kill()
        process.wait()
