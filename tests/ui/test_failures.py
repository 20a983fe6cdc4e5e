"""What goes wrong while the window is open: told in it, with a way out, and monitoring goes on where it can."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialogButtonBox

from app.core.records import Frame, FrameResult, Verdict
from app.models import artifact
from app.pipeline import recording
from app.pipeline.live_state import Left, LiveState
from app.pipeline.sinks import VideoSink
from app.ui.bridge import load_models
from app.ui.choices import Memory, Settings, SourceChoice
from app.ui.settings_dialog import SettingsDialog
from tests.e2e.support import frame_count
from tests.ui.conftest import World
from tests.ui.driving import CAMERA, button, click, runs


def test_a_full_disk_ends_the_recording_alone(
    window: Any, qtbot: Any, until: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = VideoSink.take

    def failing(self: VideoSink, frame: Frame, result: FrameResult) -> None:
        if frame.index == 30:
            raise OSError(28, "No space left on device")
        take(self, frame, result)

    monkeypatch.setattr(VideoSink, "take", failing)
    monkeypatch.setattr(recording, "PART_S", 0.3)
    window.open(CAMERA)
    until(lambda: runs(window))
    qtbot.keyClick(window, Qt.Key.Key_R)
    until(lambda: window.does.record.isChecked())
    until(lambda: "The recording has ended" in window.banner.text and "No space left" in window.banner.text)
    assert window.banner.isVisible() and button(window.banner, "Settings").isVisible()
    assert not window.does.record.isChecked() and "Record" in window.does.record.text()
    [folder] = tmp_path.glob("kept/recordings/*")
    assert sorted(path.name for path in folder.iterdir()) == ["annotated.mp4", "faces.jsonl"]
    assert frame_count(folder / "annotated.mp4") >= 9
    rows = [json.loads(line) for line in (folder / "faces.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 30
    before = window.bridge.newest[0].index
    until(lambda: window.bridge.newest[0].index > before + 10)
    assert window.bridge.state is LiveState.RUNNING
    monkeypatch.undo()
    qtbot.keyClick(window, Qt.Key.Key_R)
    until(lambda: window.bridge.engine.recording)


def test_a_folder_that_cannot_be_made_is_told(
    window: Any, world: World, qtbot: Any, until: Any, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("in the way")
    window.open(CAMERA)
    until(lambda: runs(window))
    for key in (Qt.Key.Key_R, Qt.Key.Key_S):
        qtbot.keyClick(window, key)
        until(lambda: window.banner.isVisible() and "choose another folder in the settings" in window.banner.text)
        click(qtbot, button(window.banner, "Close"))
        until(lambda: not window.banner.isVisible())
    assert not window.does.record.isChecked()
    assert window.bridge.state is LiveState.RUNNING


@pytest.fixture
def weights(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped weights, through which every model is checked before the fake one is taken."""
    folder = tmp_path / "weights"
    shutil.copytree(artifact.WEIGHTS / artifact.DEFAULT_MODEL, folder / artifact.DEFAULT_MODEL)
    monkeypatch.setattr(artifact, "read_consensus", partial(artifact.read_consensus, folder=folder))
    monkeypatch.setattr(artifact, "load_ensemble", partial(artifact.load_ensemble, folder=folder))
    monkeypatch.setattr(artifact, "OpenVINOClassifier", lambda *_: None)
    monkeypatch.setattr("app.vision.detector.MediaPipeDetector", lambda: None)
    world.before_load = load_models
    return folder / artifact.DEFAULT_MODEL


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda place: next(place.glob("*.bin")).unlink(), "the model's weights cannot be read"),
        (lambda place: next(place.glob("*.bin")).write_bytes(b"others"), "are not those its card describes"),
        (lambda place: (place / "card.json").unlink(), "no model here"),
    ],
    ids=["missing", "altered", "no card"],
)
def test_bad_weights_are_told(
    window: Any, world: World, weights: Path, qtbot: Any, until: Any, harm: Any, says: str, tmp_path: Path
) -> None:
    kept = tmp_path / "good"
    shutil.copytree(weights, kept)
    harm(weights)
    window.open(CAMERA)
    until(lambda: window.banner.isVisible() and says in window.banner.text)
    assert window.bridge.state is LiveState.FAILED
    click(qtbot, button(window.banner, "Settings"))
    until(lambda: window.findChild(SettingsDialog) is not None)
    window.findChild(SettingsDialog).reject()
    until(lambda: window.findChild(SettingsDialog) is None)
    window.open(CAMERA)
    until(lambda: window.banner.isVisible() and says in window.banner.text)
    shutil.copytree(kept, weights, dirs_exist_ok=True)
    click(qtbot, button(window.banner, "Try again"))
    until(lambda: runs(window))


def test_no_gpu_is_told_and_the_processor_offered(
    window: Any, world: World, weights: Path, store: Any, qtbot: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "_tensorflow_finds_gpu", lambda: False)
    window.apply_settings(Settings(device="gpu", output=window.settings.output))
    window.open(CAMERA)
    until(lambda: window.banner.isVisible() and "no GPU" in window.banner.text)
    click(qtbot, button(window.banner, "Compute on the processor"))
    until(lambda: runs(window))
    assert Memory(store).settings().device == "cpu"


def test_loading_is_left_between_its_steps(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    loaded = SimpleNamespace(close=lambda: closed.append(True))
    monkeypatch.setattr(artifact, "OpenVINOClassifier", lambda *_: loaded)
    assert load_models(Settings(device="cpu")).ensemble.classifiers == (loaded,)
    with pytest.raises(Left):
        load_models(Settings(device="cpu"), lambda: False)
    assert closed == [True]


def test_settings_show_on_a_picture_that_stands_still(window: Any, world: World, qtbot: Any, until: Any) -> None:
    world.logit = 1.5  # 82 %
    window.open(SourceChoice.of("demo"))
    until(lambda: runs(window) and window.view._faces() and "undecided" in window.view._faces()[0].opinion.reason)
    qtbot.keyClick(window, Qt.Key.Key_Space)
    until(lambda: window.bridge.state is LiveState.PAUSED)
    until(lambda: window.bridge.newest[1].index == window.bridge.newest[0].index)
    frame, result = window.bridge.newest
    assert result.faces[0].opinion.verdict is Verdict.UNCERTAIN
    _set_in_dialog(window, qtbot, until, threshold=70)
    until(lambda: window.view._faces() and window.view._faces()[0].opinion.verdict is Verdict.FAKE)
    until(lambda: "AI-GENERATED" in window.faces.overall)
    _set_in_dialog(window, qtbot, until, min_size=300)
    until(lambda: "too small" in window.view._faces()[0].opinion.reason)
    assert window.bridge.newest[0] is frame


def _set_in_dialog(window: Any, qtbot: Any, until: Any, **values: float) -> None:
    window.activateWindow()  # What a window manager does once a dialog has gone.
    until(lambda: window.isActiveWindow() and not window.findChildren(SettingsDialog))
    qtbot.keyClick(window, Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier)
    dialog = window.findChild(SettingsDialog)
    dialog.use_own.setChecked(False)
    for name, value in values.items():
        getattr(dialog, name).setValue(value)
    click(qtbot, dialog.findChild(QDialogButtonBox).button(QDialogButtonBox.StandardButton.Ok))


class Tray:
    """The tray of a desktop that has one."""

    told: list[tuple[str, str]]
    there = True

    def __init__(self, *_: object) -> None:
        self.shown = False

    @classmethod
    def isSystemTrayAvailable(cls) -> bool:
        return cls.there

    def show(self) -> None:
        self.shown = True

    def hide(self) -> None:
        self.shown = False

    def showMessage(self, title: str, text: str) -> None:
        assert self.shown
        self.told.append((title, text))


@pytest.mark.parametrize("tray", [True, False], ids=["a tray", "no tray"])
@pytest.mark.parametrize("wanted", [True, False], ids=["wanted", "not wanted"])
def test_a_flagged_face_is_told_through_the_desktop_if_wanted(
    window: Any, world: World, qtbot: Any, until: Any, monkeypatch: pytest.MonkeyPatch, wanted: bool, tray: bool
) -> None:
    told: list[tuple[str, str]] = []
    kind = type("Tray", (Tray,), {"told": told, "there": tray})
    monkeypatch.setattr("app.ui.notices.QSystemTrayIcon", kind)
    monkeypatch.setattr(
        "app.ui.notices.QProcess.startDetached", lambda program, given: told.append((given[-2], given[-1]))
    )
    window.apply_settings(Settings(notify=wanted, output=window.settings.output))
    window.open(CAMERA)
    until(lambda: any("AI-GENERATED: face 1" in window.log.item(n).text() for n in range(window.log.count())))
    assert len(told) == wanted
    if wanted:
        assert told[0][0] == "Unmask: AI-GENERATED" and told[0][1].startswith("face 1: ")


def test_a_double_click_in_the_log_goes_there(window: Any, world: World, qtbot: Any, until: Any) -> None:
    world.logit = -5.0
    window.open(SourceChoice.of("demo"))
    until(lambda: runs(window) and window.bridge.newest[0].time_s > 1.0)
    world.logit = 8.0
    until(lambda: any("face 1" in window.log.item(n).text() for n in range(window.log.count())))
    world.logit = -5.0
    qtbot.keyClick(window, Qt.Key.Key_Space)
    until(lambda: window.bridge.state is LiveState.PAUSED)
    [entry] = [window.log.item(n) for n in range(window.log.count()) if "face 1" in window.log.item(n).text()]
    at = entry.data(Qt.ItemDataRole.UserRole)
    assert at > 1.0
    qtbot.keyClick(window, Qt.Key.Key_Right)
    until(lambda: window.bridge.newest[0].time_s > at + 3)
    window.docks[2].raise_()
    place = window.log.visualItemRect(entry).center()
    click(qtbot, window.log.viewport(), place)
    qtbot.mouseDClick(window.log.viewport(), Qt.MouseButton.LeftButton, pos=place)
    until(lambda: abs(window.bridge.newest[0].time_s - at) < 0.1)
