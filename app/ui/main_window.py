"""The window: what happens when something is asked for, and when something has happened."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QSettings, Qt, QTimer
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QPaintEvent

from app.core.records import Frame, FrameResult, Opinion, Verdict
from app.models.artifact import read_consensus
from app.pipeline.live_state import EventKind, LiveEvent, LiveState
from app.ui.background import in_background
from app.ui.banner import Tone, Way
from app.ui.bridge import START, Bridge, EngineMaker, Place, make_engine
from app.ui.choices import Settings, SourceChoice, SourceKind
from app.ui.faces_panel import Thumbnail, thumbnail, wrapped
from app.ui.layout import WindowLayout
from app.ui.lines import suspicious_moments
from app.ui.notices import DesktopNotices
from app.ui.session import Keeper
from app.ui.settings_dialog import SettingsDialog
from app.ui.sources_menu import CameraLister
from app.ui.video_view import Heat, strength
from app.ui.welcome import CardDialog
from app.vision.live_sources import list_cameras

if TYPE_CHECKING:
    from app.core.cards import Thresholds
    from app.core.consensus import Consensus
    from app.ui.timeline import Timeline

JUMP_S = 5.0
ALREADY_S = 0.5
"""A suspicious moment this close to the position is where we are, not where to go."""
SAME_PICTURE_S = 0.1
"""A result older than this is of another picture: cutting thumbnails by it would miss the faces."""
_WATCHING = (LiveState.LOADING, LiveState.RUNNING, LiveState.PAUSED)


class MainWindow(WindowLayout):
    """Holds no thread: the engine, the bridge and the pool do what takes time.

    Args:
        make: makes the engine of a source.
        cameras: lists the cameras; called in the pool.
    """

    def __init__(self, store: QSettings, make: EngineMaker = make_engine, cameras: CameraLister = list_cameras) -> None:
        super().__init__(store, cameras)
        self.settings: Settings = self.memory.settings()
        self.bridge = Bridge(make, self)
        self.keeper = Keeper(self.bridge, self.banner, self)
        self._consensus: Consensus | None = None
        self._noted: Consensus | None = None
        self.notices = DesktopNotices(self)
        self.has_ended = True
        """Whether closing left no thread behind."""
        self._other_source = Way("Choose another source", self.show_sources, "Open the list of sources")
        self._to_settings = Way("Settings", self.ask_settings, "Open the settings")
        self._connect()
        self.restore_layout()
        self._show_state(LiveState.IDLE)

    # What people ask for.

    def open(self, choice: SourceChoice, begin: Place = START) -> None:
        """Show a source; what was on show is stopped first."""
        self.banner.hide()
        self.memory.remember(choice)
        self.sources.offer_last()
        self.view.show_frame(None, None)
        self._select(0)
        self.faces.clear()
        self.complete().reset(seekable=not choice.is_live)
        self.log.add(0.0, f"opened {choice.title}")
        self.setWindowTitle(f"{choice.title} - Unmask")
        self.does.mirror.setChecked(choice.kind is SourceKind.CAMERA and self.settings.mirror)
        self.controls.reset()
        self.bridge.open(choice, self.settings, begin)
        if choice.kind is SourceKind.SCREEN:
            self.banner.tell("Move this window aside: what it covers on the screen is not watched.", tone=Tone.INFO)

    def close_source(self) -> None:
        self.bridge.close()
        self.banner.hide()
        self.setWindowTitle("Unmask")

    def seek(self, time_s: float) -> None:
        if self.bridge.engine is not None and self._recorded:
            self.bridge.engine.seek(time_s)

    def apply_settings(self, settings: Settings) -> None:
        """Take and keep new settings; the source is opened anew, at its place, only where it must be."""
        before, self.settings = self.settings, settings
        self.memory.keep(settings)
        if settings.models != before.models:
            self._read_consensus()
        if self.bridge.choice is not None and settings.needs_reload(before):
            self.open(self.bridge.choice, self.bridge.place)
        else:
            self.bridge.set_settings(settings)
            self._show_thresholds()

    def override(self, **changes: Any) -> None:
        """Go by other settings this time, without keeping them, from before it is shown; None changes nothing."""
        given = {key: value for key, value in changes.items() if value is not None}
        self.settings = replace(self.settings, **given)

    def ask_settings(self) -> None:
        dialog = SettingsDialog(self.settings, self._consensus, self, running=self.bridge.state in _WATCHING)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.accepted.connect(lambda: self.apply_settings(dialog.chosen()))
        # Not exec(): the picture goes on, and closing the window closes the dialog too.
        dialog.open()

    def complete(self) -> Timeline:
        first = self.timeline is None
        timeline = super().complete()
        if first:
            timeline.sought.connect(self.seek)
            self._read_consensus()
        return timeline

    # What happens in the window.

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self.timeline is None:
            # Not at once when it is shown: it would come into sight only after all that is loaded here.
            QTimer.singleShot(0, self, self.complete)

    def closeEvent(self, event: QCloseEvent) -> None:
        self.keep_layout()
        self.hide()
        self.has_ended = self.bridge.shut_down()
        self.notices.close()
        super().closeEvent(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        url = event.mimeData().urls()[0]
        event.acceptProposedAction()
        self.open(SourceChoice.of(url.toLocalFile() if url.isLocalFile() else url.toString()))

    def changeEvent(self, event: QEvent) -> None:
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "source_button"):
            self.dress()
        super().changeEvent(event)

    def _connect(self) -> None:
        a = self.does
        self.bridge.on_picture = self._show_picture
        self.bridge.state_changed.connect(self._show_state)
        self.bridge.happened.connect(self._take_event)
        self.bridge.refreshed.connect(self._refresh)
        self.sources.chosen.connect(self.open)
        self.view.face_clicked.connect(self._select)
        self.faces.face_chosen.connect(self._select)
        self.log.itemDoubleClicked.connect(lambda item: self.seek(float(item.data(Qt.ItemDataRole.UserRole))))
        self.controls.speed_changed.connect(self._set_speed)
        a.play.triggered.connect(self._play_or_pause)
        a.step.triggered.connect(self._step)
        a.back.triggered.connect(lambda: self._jump(-JUMP_S))
        a.forth.triggered.connect(lambda: self._jump(JUMP_S))
        a.previous.triggered.connect(lambda: self._go_suspicious(-1))
        a.next.triggered.connect(lambda: self._go_suspicious(1))
        a.record.triggered.connect(self._record)
        a.snapshot.triggered.connect(lambda: self.keeper.snapshot(self.settings.output, redact=self.settings.redact))
        a.export.triggered.connect(lambda: self.keeper.export(self.settings.output))
        a.heatmap.toggled.connect(lambda _: self._show_heat())
        a.mirror.toggled.connect(self.view.set_mirror)
        a.actual.toggled.connect(lambda actual: self.view.set_fit(not actual))
        a.full.toggled.connect(self.fill_screen)
        a.leave_full.triggered.connect(self._leave)
        a.close_source.triggered.connect(self.close_source)
        a.settings.triggered.connect(self.ask_settings)
        a.quit.triggered.connect(self.close)
        a.verdicts.triggered.connect(self._toggle_welcome)
        a.card.triggered.connect(self._show_card)

    # Playing.

    @property
    def _recorded(self) -> bool:
        return self.bridge.choice is not None and not self.bridge.choice.is_live

    def _play_or_pause(self) -> None:
        engine = self.bridge.engine
        if engine is None:
            return
        if engine.state is LiveState.PAUSED:
            engine.resume()
        elif engine.state in _WATCHING:
            engine.pause()

    def _step(self) -> None:
        engine = self.bridge.engine
        if engine is not None and engine.state in _WATCHING:
            engine.pause()
            engine.step()

    def _jump(self, by_s: float) -> None:
        if self.bridge.engine is not None:
            self.seek(max(0.0, self.bridge.engine.stats().position_s + by_s))

    def _go_suspicious(self, direction: int) -> None:
        engine = self.bridge.engine
        thresholds = self._thresholds()
        if engine is None or thresholds is None:
            return
        moments = suspicious_moments(engine.timelines(), thresholds.fake)
        now = engine.stats().position_s
        ahead = moments[bisect_right(moments, now + ALREADY_S) :]
        behind = moments[: bisect_left(moments, now - ALREADY_S)]
        if found := ahead[:1] if direction > 0 else behind[-1:]:
            self.seek(found[0])
        else:
            where = "after" if direction > 0 else "before"
            self.banner.tell(f"No suspicious moment was seen {where} this one.", tone=Tone.INFO)

    def _set_speed(self, speed: float) -> None:
        if self.bridge.engine is not None:
            self.bridge.engine.set_speed(speed)

    def _record(self) -> None:
        engine = self.bridge.engine
        if engine is not None and engine.recording:
            self.keeper.stop_recording()
        else:
            self.keeper.start_recording(self.settings.output)
        self._show_recording()

    # What the engine tells.

    def _show_picture(self, frame: Frame, result: FrameResult | None) -> None:
        self.view.show_frame(frame, result)

    def _show_state(self, state: LiveState) -> None:
        watching = state in _WATCHING
        does = self.does
        self.pages.setCurrentWidget(self.welcome if state is LiveState.IDLE else self.view)
        self.show_parts(state is not LiveState.IDLE)
        self.controls.set_recorded(self._recorded)
        for action in (does.play, does.record, does.snapshot, does.export, does.heatmap):
            action.setEnabled(watching)
        for action in (does.step, does.back, does.forth, does.previous, does.next):
            action.setEnabled(watching and self._recorded)
        does.close_source.setEnabled(state is not LiveState.IDLE)
        does.show_playing(state in (LiveState.LOADING, LiveState.RUNNING))
        notes = {
            LiveState.LOADING: "Getting ready: opening the source and loading the model…",
            LiveState.FAILED: "Nothing is running. Try again, or choose another source.",
        }
        self.view.say(notes.get(state, ""))
        self._show_recording()
        if not watching:
            self.figures.show_stats(None)
        if state is LiveState.IDLE:
            self.view.show_frame(None, None)
        if state is LiveState.FAILED:
            self._tell_failure(self.bridge.error)
        elif state is LiveState.RUNNING:
            self._show_thresholds()
            self._log_note()

    def _log_note(self) -> None:
        """Several models: how their weights came about, once for each source."""
        consensus = None if self.bridge.engine is None else self.bridge.engine.consensus
        if consensus is not None and consensus.note and self._noted is not consensus:
            self._noted = consensus
            self.log.add(0.0, wrapped(consensus.note))

    def _tell_failure(self, text: str) -> None:
        self.log.add(0.0, text)
        ways = [self._other_source, self._to_settings]
        if self.bridge.choice is not None:
            ways.insert(0, Way("Try again", partial(self.open, self.bridge.choice), "Open the same source once more"))
        if self.settings.device == "gpu":
            ways.insert(
                0, Way("Compute on the processor", self._use_processor, "Slower, but it needs no graphics card")
            )
        self.banner.tell(text, ways)

    def _use_processor(self) -> None:
        self.apply_settings(replace(self.settings, device="cpu"))

    def show_sources(self) -> None:
        """Drop the picker down under its button."""
        self.sources.popup(self.source_button.mapToGlobal(self.source_button.rect().bottomLeft()))

    def _take_event(self, event: LiveEvent) -> None:
        flagged = event.kind is EventKind.FACE_FLAGGED
        self.log.add(event.time_s, f"{Verdict.FAKE.words}: {event.text}" if flagged else event.text)
        if flagged:
            if self.settings.notify:
                self.notices.tell(f"Unmask: {Verdict.FAKE.words}", event.text)
        elif event.kind is EventKind.SOURCE_LOST:
            self.banner.tell(event.text, [self._other_source])
        elif event.kind is EventKind.SOURCE_BACK:
            self.banner.tell(event.text, tone=Tone.INFO)
        elif event.kind is EventKind.RECORDING_SAVED:
            self.keeper.recording_saved(event.text)
        elif event.kind is EventKind.RECORDING_FAILED:
            self.banner.tell(f"The recording has ended: {event.text}", [self._to_settings])
        self._show_recording()

    def _refresh(self) -> None:
        """Cards, figures and timeline, as often as people can read them."""
        engine = self.bridge.engine
        if engine is None or self.timeline is None or engine.state not in _WATCHING:
            return
        stats = engine.stats()
        present, pictures = self._faces_now()
        self.faces.show_tracks(engine.tracks(), present, pictures, self.view.selected, engine.latest_face)
        self.timeline.set_position(stats.position_s, stats.duration_s)
        self.timeline.show_lines(engine.timelines(), self.view.selected)
        self.controls.show_position(stats.position_s, stats.duration_s)
        self.figures.show_stats(stats, self.view.painted_fps)
        self._show_heat()
        self._show_recording()

    def _faces_now(self) -> tuple[dict[int, Opinion], dict[int, Thumbnail]]:
        """What the picture says of the faces in it, by id, and how they look."""
        frame, result = self.bridge.newest or (None, None)
        if frame is None or result is None or not strength(frame.time_s - result.time_s):
            return {}, {}
        present = {f.track: f.opinion for f in result.faces}
        if abs(frame.time_s - result.time_s) > SAME_PICTURE_S:
            return present, {}
        return present, {f.track: thumbnail(frame.image, f) for f in result.faces}

    # What is shown.

    def _select(self, track: int) -> None:
        self.view.select(0 if track == self.view.selected else track)
        self._show_heat()
        self._refresh()

    def _show_heat(self) -> None:
        """The heatmap of the selected face, or of the largest where none in the picture is."""
        engine, newest = self.bridge.engine, self.bridge.newest
        heat = None
        if self.does.heatmap.isChecked() and engine is not None and engine.consensus is not None:
            track = self.view.selected
            present = [face.track for face in newest[1].faces] if newest and newest[1] else []
            if present and track not in present:
                track = present[0]
            face = engine.latest_face(track)
            if face is not None:
                heat = Heat.of(face, engine.consensus)
        self.view.set_heat(heat)

    def _show_recording(self) -> None:
        engine = self.bridge.engine
        self.does.show_recording(engine is not None and engine.recording)

    def _thresholds(self) -> Thresholds | None:
        engine = self.bridge.engine
        judge = (None if engine is None else engine.consensus) or self._consensus
        choice = self.bridge.choice or SourceChoice.of("demo")
        return None if judge is None else self.settings.analyzer_for(choice).thresholds(judge.thresholds)

    def _show_thresholds(self) -> None:
        if self.timeline is not None:
            self.timeline.set_thresholds(self._thresholds())

    def _read_consensus(self) -> None:
        def take(consensus: Consensus, names: tuple[str, ...] = self.settings.models) -> None:
            if names == self.settings.models:  # Others may have been chosen meanwhile.
                self._consensus = consensus
                self._show_thresholds()

        # A card that cannot be read is told of when its model is loaded.
        in_background(self, partial(read_consensus, self.settings.models), take, lambda why: None)

    def _show_card(self) -> None:
        if self._consensus is None:
            self.banner.tell("The model's card cannot be read; restore the weights folder.")
        else:
            dialog = CardDialog(self._consensus, self)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.open()

    def _toggle_welcome(self) -> None:
        on_welcome = self.pages.currentWidget() is self.welcome
        self.pages.setCurrentWidget(self.view if on_welcome and self.bridge.choice is not None else self.welcome)

    def _leave(self) -> None:
        """Esc: out of full screen, or back from the explanations."""
        if self.does.full.isChecked():
            self.does.full.setChecked(False)
        elif self.bridge.choice is not None:
            self.pages.setCurrentWidget(self.view)
