"""The screen and a region of it, on a real X server that nobody sees."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LOOK = """
import sys
import cv2, numpy as np
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from app.vision.live_sources import opener
application = QApplication([])
for x, colour in ((0, "#D55E00"), (200, "#0072B2")):
    patch = QWidget(None, Qt.WindowType.FramelessWindowHint | Qt.WindowType.X11BypassWindowManagerHint)
    patch.setStyleSheet(f"background: {colour}")
    patch.setGeometry(x, 0, 200, 100)
    patch.show()
    setattr(application, colour, patch)
    assert QTest.qWaitForWindowExposed(patch)
QTest.qWait(300)
for address in sys.argv[1:]:
    source = opener(address)[0]()
    for _ in range(3):
        frame = source.read()
    print(source.width, source.height, *frame.image[50, 50].tolist(), *frame.image[50, 150].tolist())
    source.close()
"""
ORANGE, BLUE = "0 94 213", "178 114 0"
"""Blue, green, red, as frames have them."""


@pytest.fixture
def display() -> Iterator[str]:
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Xvfb")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "640x400x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as told:
            number = told.readline().strip()
        assert number, "the X server does not start"
        yield f":{number}"
    finally:
        server.terminate()
        server.wait()


def test_what_is_on_the_screen_is_seen(display: str) -> None:
    addresses = ["screen", "screen:100,0,200,100"]
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *addresses],
        env=os.environ | {"DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "WAYLAND_DISPLAY": ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    whole, region = done.stdout.splitlines()
    assert whole == f"640 400 {ORANGE} {ORANGE}"
    assert region == f"200 100 {ORANGE} {BLUE}"
