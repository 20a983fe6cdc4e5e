"""A person who clicks everything, in any order: the window always closes in time and leaves nothing half-written."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QSettings, Qt

from app.core.consensus import Consensus
from app.pipeline import live_capture
from app.pipeline.live_state import LiveState
from app.ui.choices import SourceChoice
from app.ui.main_window import MainWindow
from tests.e2e.support import frame_count
from tests.ui.conftest import World
from tests.ui.driving import CAMERA, CLOSE_S, click

KEYS = {
    "play": Qt.Key.Key_Space,
    "step": Qt.Key.Key_Period,
    "back": Qt.Key.Key_Left,
    "on": Qt.Key.Key_Right,
    "record": Qt.Key.Key_R,
    "snapshot": Qt.Key.Key_S,
    "heatmap": Qt.Key.Key_H,
    "mirror": Qt.Key.Key_M,
    "full screen": Qt.Key.Key_F11,
    "leave": Qt.Key.Key_Escape,
    "explanations": Qt.Key.Key_F1,
}
DOINGS = [*KEYS, "camera", "demo", "missing file", "close source", "timeline", "unplug", "plug", "hold models", "load"]
WAITS_MS = (0, 0, 5, 40, 150)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(DOINGS), st.sampled_from(WAITS_MS)), max_size=12))
@example([("hold models", 0), ("camera", 40), ("record", 40), ("demo", 0)])
@example([("demo", 150), ("record", 150), ("timeline", 0), ("camera", 0), ("close source", 0), ("demo", 40)])
@example([("camera", 150), ("record", 150), ("unplug", 40), ("demo", 0)])
def test_any_order_ends_well(
    qtbot: Any, make_world: Callable[[], World], monkeypatch: pytest.MonkeyPatch, doings: list[tuple[str, int]]
) -> None:
    monkeypatch.setattr(live_capture, "RETRY_PAUSES_S", (0.02, 5.0))
    world = make_world()
    monkeypatch.setattr("app.ui.main_window.read_consensus", lambda names: Consensus.of(world.card))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = QSettings(str(folder / "settings.ini"), QSettings.Format.IniFormat)
        store.setValue("output", str(folder / "kept"))
        window = MainWindow(store, make=world.make, cameras=world.list_cameras)
        window.show()
        for doing, wait_ms in doings:
            _do(qtbot, window, world, folder, doing)
            qtbot.wait(wait_ms)
        world.may_load.set()  # Native code that never returns is not what is tried here.
        started = time.monotonic()
        window.close()
        assert time.monotonic() - started < CLOSE_S
        assert all(engine.join(0) for engine in world.made)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("unmask")]
        assert all(engine.state in (LiveState.STOPPED, LiveState.FAILED) for engine in world.made)
        errors = {str(engine.error) for engine in world.made if engine.error is not None}
        assert all("no such" in error for error in errors), errors
        for recorded in folder.glob("kept/recordings/*/*"):
            assert recorded.name in ("annotated.mp4", "faces.jsonl")
            assert recorded.suffix != ".mp4" or frame_count(recorded) > 0
        window.deleteLater()
        qtbot.waitUntil(lambda: not list(folder.glob("kept/snapshots/.*")))


def _do(qtbot: Any, window: MainWindow, world: World, folder: Path, doing: str) -> None:
    if doing in KEYS:
        qtbot.keyClick(window, KEYS[doing])
    elif doing == "timeline":
        timeline = window.complete()
        click(qtbot, timeline.canvas, timeline.canvas.rect().center())
    elif doing == "close source":
        qtbot.keyClick(window, Qt.Key.Key_W, Qt.KeyboardModifier.ControlModifier)
    else:
        {
            "camera": lambda: window.open(CAMERA),
            "demo": lambda: window.open(SourceChoice.of("demo")),
            "missing file": lambda: window.open(SourceChoice.of(str(folder / "nothing.mp4"))),
            "unplug": world.plugged.clear,
            "plug": world.plugged.set,
            "hold models": world.may_load.clear,
            "load": world.may_load.set,
        }[doing]()
