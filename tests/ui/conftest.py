"""The window on the real engine, with fake models and without a screen."""

from __future__ import annotations

import os

os.environ["QT_QPA_PLATFORM"] = "offscreen"

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QSettings

from app.core.cards import ModelCard
from app.core.consensus import Consensus
from app.core.errors import UnmaskError
from app.core.records import Detection, Frame
from app.models.ensemble import Ensemble
from app.models.runtimes import FakeClassifier
from app.pipeline.batch import Models
from app.pipeline.live import LiveEngine
from app.ui.choices import Settings, SourceChoice, SourceKind
from app.ui.main_window import MainWindow
from app.vision.detector import FakeDetector
from app.vision.live_sources import CameraInfo

DEADLINE_MS = 20_000


class FakeCamera:
    """Noise at 30 frames a second, until it is pulled out."""

    def __init__(self, plugged: threading.Event, image: Any) -> None:
        if not plugged.is_set():
            raise UnmaskError("camera 0: no such camera; plug it in")
        self.name, self.width, self.height, self.fps = "Fake camera", 320, 240, 30.0
        self.frame_count: int | None = None
        self._plugged, self._image, self._index = plugged, image, 0

    def read(self) -> Frame | None:
        time.sleep(1 / 30)
        if not self._plugged.is_set():
            return None
        frame = Frame(self._index, self._index / 30, np.roll(self._image, self._index, axis=1))
        self._index += 1
        return frame

    def skip(self, count: int) -> int:
        return 0

    def close(self) -> None:
        pass


class World:
    """What stands behind the window of a test, to be changed while it runs.

    Attributes:
        may_load: models load only while this is set.
        plugged: the fake camera is there.
        logit: the answer of the fake classifier.
        load_error: raised instead of loading models.
        before_load: called with the settings on the inference thread, and may raise.
        fake_cameras: a camera is a :class:`FakeCamera`; else the real class, for tests with a fake driver under it.
        cameras: what the lister finds.
        listed_by: the threads that it was called on.
    """

    def __init__(self, card: ModelCard, face: Detection, image: Any) -> None:
        self.card, self.face, self.image = card, face, image
        self.may_load, self.plugged = threading.Event(), threading.Event()
        self.may_load.set()
        self.plugged.set()
        self.logit = 5.0
        self.load_error: str | None = None
        self.before_load: Callable[[Settings], object] = lambda settings: None
        self.fake_cameras = True
        self.cameras: list[CameraInfo] = []
        self.listed_by: list[threading.Thread] = []
        self.made: list[LiveEngine] = []

    def make(self, choice: SourceChoice, settings: Settings, on_state: Any, on_event: Any) -> LiveEngine:
        fake = choice.kind is SourceKind.CAMERA and self.fake_cameras
        engine = LiveEngine(
            (lambda: FakeCamera(self.plugged, self.image)) if fake else choice.open,
            lambda: self._load(settings),
            settings.analyzer_for(choice),
            live=choice.is_live,
            on_state=on_state,
            on_event=on_event,
        )
        self.made.append(engine)
        return engine

    def list_cameras(self) -> list[CameraInfo]:
        self.listed_by.append(threading.current_thread())
        return self.cameras

    def _load(self, settings: Settings) -> Models:
        self.may_load.wait()
        self.before_load(settings)
        if self.load_error:
            raise UnmaskError(self.load_error)
        size = self.card.preprocessing.size
        consensus = self.consensus(settings.models)
        classifiers = [
            FakeClassifier(lambda crop, n=n: self.logit / (n + 1), size) for n in range(len(consensus.cards))
        ]  # type: ignore[misc]
        return Models(FakeDetector(lambda call: [self.face]), Ensemble(consensus, classifiers))

    def consensus(self, names: Sequence[str]) -> Consensus:
        """One model is that of the card; several are the same under other names, each less sure than the one before."""
        several = len(names) > 1
        return Consensus.of(*(self.card.model_copy(update={"name": n}) if several else self.card for n in names))


@pytest.fixture
def make_world(
    make_card: Callable[..., ModelCard], make_face: Callable[..., Detection], noise: Callable[..., Any]
) -> Callable[[], World]:
    gates = {"min_sharpness": 0.0, "min_brightness": 0.0, "max_brightness": 255.0, "max_yaw": 1.0, "min_scores": 2}
    return lambda: World(make_card(thresholds=gates), make_face(x=100, y=80, size=100), noise())


@pytest.fixture
def world(make_world: Callable[[], World]) -> World:
    return make_world()


@pytest.fixture
def store(tmp_path: Path) -> QSettings:
    store = QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)
    store.setValue("output", str(tmp_path / "kept"))
    return store


@pytest.fixture
def until(qtbot: Any) -> Callable[[Callable[[], Any]], None]:
    """Wait, with the window alive, for something to become true."""
    return lambda condition: qtbot.waitUntil(lambda: bool(condition()), timeout=DEADLINE_MS)


@pytest.fixture
def window(qtbot: Any, world: World, store: QSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[MainWindow]:
    monkeypatch.setattr("app.ui.main_window.read_consensus", world.consensus)
    window = MainWindow(store, make=world.make, cameras=world.list_cameras)
    qtbot.addWidget(window)
    with qtbot.waitExposed(window):
        window.show()
    qtbot.waitUntil(lambda: window.timeline is not None, timeout=DEADLINE_MS)
    yield window
    world.may_load.set()
    window.close()
    assert all(engine.join(10) for engine in world.made), "a thread is left"
