"""The program from its start to its end, as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QSettings

from app import DEMO

# Tells once the window is in sight, and what it shows after what the start has asked for.
START = """
import sys
from PySide6.QtCore import QTimer
from app.ui import application
real = application.MainWindow.show
def show(window):
    real(window)
    QTimer.singleShot(100, lambda: print("here", window.bridge.choice and window.bridge.choice.title, flush=True))
application.MainWindow.show = show
raise SystemExit(application.run(*sys.argv[1:]))
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the program with a home of its own, and settings in it."""
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "QT_QPA_PLATFORM": "offscreen"}
    started: list[subprocess.Popen[str]] = []

    def run(*source: str, **settings: Any) -> subprocess.Popen[str]:
        store = QSettings(str(tmp_path / "Unmask" / "Unmask.conf"), QSettings.Format.IniFormat)
        for key, value in settings.items():
            store.setValue(key, value)
        store.sync()
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", START, *source],
                env=os.environ | home,
                cwd=Path(__file__).resolve().parents[2],
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_window_opens_and_an_interrupt_closes_it(start: Start, tmp_path: Path) -> None:
    process = start()
    assert _first_line(process) == "here None"
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert list(tmp_path.rglob("Unmask.conf")), "the layout is kept"


def test_starts_straight_into_a_source(start: Start) -> None:
    process = start("demo", reopen="true", recent=["0"])
    assert _first_line(process) == "here Demo clip", "what is asked for goes before what was last"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


@pytest.mark.parametrize(("reopen", "shown"), [("true", "Demo clip"), ("false", "None")])
def test_goes_on_with_the_last_source_if_asked(start: Start, reopen: str, shown: str) -> None:
    process = start(reopen=reopen, recent=[str(DEMO), "0"])
    assert _first_line(process) == f"here {shown}"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


@pytest.mark.parametrize("after_s", [0.0, 0.3, 0.6, 1.0, 1.5, 2.5])
def test_ends_cleanly_while_the_real_model_loads(start: Start, after_s: float) -> None:
    """At whatever point of loading it is caught: no crash in native code that is still at work."""
    process = start(reopen="true", recent=[str(DEMO)])
    assert _first_line(process) == "here Demo clip"
    time.sleep(after_s)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
