"""What is kept of a session: recordings, snapshots, the report, and the log of events."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QObject, Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QListWidget, QListWidgetItem

from app.core.errors import UnmaskError
from app.core.records import Frame, FrameResult
from app.pipeline.live_state import IllegalMove
from app.ui.background import in_background
from app.ui.banner import Banner, Tone, Way
from app.ui.bridge import Bridge
from app.ui.choices import SourceChoice
from app.ui.faces_panel import clock

EVENTS = 500
"""Lines kept in the log."""


class Keeper(QObject):
    """Writes what people ask to keep, off the window's thread, and tells in the banner where it went."""

    def __init__(self, bridge: Bridge, banner: Banner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge, self._banner = bridge, banner
        self._folder: Path | None = None

    def start_recording(self, output: Path) -> bool:
        """Record from now on into a folder of its own; False where there is nothing to record."""
        engine, choice = self._bridge.engine, self._bridge.choice
        if engine is None or choice is None:
            return False
        folder = output / "recordings" / stamped(choice)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._banner.tell(f"{folder}: cannot be written ({error.strerror}); choose another folder in the settings")
            return False
        try:
            engine.start_recording(folder)
        except IllegalMove:
            return False  # It stopped or failed in this very moment, and says so itself.
        self._folder = folder
        return True

    def stop_recording(self) -> None:
        """End the recording; RECORDING_SAVED tells when the file is complete."""
        if self._bridge.engine is not None:
            self._bridge.engine.stop_recording()

    def recording_saved(self, text: str) -> None:
        """Tell that a recording is complete."""
        ways = [_show(self._folder)] if self._folder else []
        self._banner.tell(f"Recording {text}", ways, Tone.INFO)

    def snapshot(self, output: Path, *, redact: bool = False) -> None:
        """Write the picture on show, with its boxes, as a PNG.

        Args:
            redact: pixelate faces that are not flagged; of the newest picture in which faces were looked for.
        """
        newest, choice, engine = self._bridge.newest, self._bridge.choice, self._bridge.engine
        if newest is None or choice is None or engine is None:
            return
        if redact:
            # The picture on show may be newer than its boxes: whoever has just moved would be beside their mosaic.
            newest = engine.latest_analysed() or (newest[0], None)
        path = output / "snapshots" / f"{stamped(choice)}.png"
        in_background(
            self, lambda: write_snapshot(path, *newest, redact=redact), self._snapshot_done, self._banner.tell
        )

    def export(self, output: Path) -> None:
        """Write the report of everything seen so far."""
        engine, choice = self._bridge.engine, self._bridge.choice
        if engine is None or choice is None:
            return
        path = output / "reports" / f"{stamped(choice)}.html"
        title = f"Unmask: {choice.title}"
        in_background(self, lambda: write_session(path, engine, title), self._report_done, self._banner.tell)

    def _snapshot_done(self, path: Path) -> None:
        self._tell_kept("Snapshot kept as", path)

    def _report_done(self, path: Path) -> None:
        self._tell_kept("Report kept as", path)

    def _tell_kept(self, words: str, path: Path) -> None:
        self._banner.tell(f"{words} {path}", [_show(path)], Tone.INFO)


class EventLog(QListWidget):
    """When a face turned to AI-GENERATED, and whatever else happened; a double click goes there."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Events")
        self.setAlternatingRowColors(True)
        self.setToolTip("What happened, the latest first; double-click to go there (video files)")

    def add(self, time_s: float, text: str) -> None:
        item = QListWidgetItem(f"{clock(time_s)}   {text}")
        # A live source's position says little the day after: the time of day goes with it.
        item.setToolTip(f"{datetime.now():%Y-%m-%d %H:%M:%S}")
        item.setData(Qt.ItemDataRole.UserRole, time_s)
        self.insertItem(0, item)
        while self.count() > EVENTS:
            self.takeItem(self.count() - 1)


def write_snapshot(path: Path, frame: Frame, result: FrameResult | None, *, redact: bool = False) -> Path:
    """Write the frame with its faces drawn, and those that are not flagged pixelated; runs in the pool.

    Raises:
        UnmaskError: it cannot be written, or it is to be redacted and its faces are not known yet.
    """
    from app.pipeline.pictures import write_picture
    from app.vision.overlay import draw
    from app.vision.redaction import Redactor

    image = np.array(frame.image)
    if redact:
        if result is None:
            raise UnmaskError(f"{path}: its faces were not looked for yet; keep the picture again in a moment")
        Redactor().redact(image, result)
    if result is not None:
        draw(image, result)
    _make_folder(path.parent)
    write_picture(path, image)
    return path


def write_session(path: Path, engine: Any, title: str) -> Path:
    """Write the engine's report; runs in the pool.

    Raises:
        UnmaskError: nothing was seen yet, or it cannot be written.
    """
    from app.pipeline.report import write_report

    report = engine.report()
    _make_folder(path.parent)
    write_report(path, [report], title=title, created=datetime.now().astimezone())
    return path


def _show(path: Path) -> Way:
    return Way("Show it", partial(open_path, path), "Open it with the desktop's own program")


def open_path(path: Path) -> None:
    """Let the desktop show a file or folder."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))


def stamped(choice: SourceChoice) -> str:
    """A name for a new file: what it is of, and when."""
    from app.pipeline.run import safe_name

    return f"{safe_name(choice.title)}-{datetime.now():%Y%m%d-%H%M%S}"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnmaskError(
            f"{folder}: cannot be made ({error.strerror}); choose another folder in the settings"
        ) from None
