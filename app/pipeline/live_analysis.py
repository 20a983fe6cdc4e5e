"""What the inference thread of the live engine does and what it found, to be read from other threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from app.core.channels import Closed, LatestSlot
from app.core.errors import UnmaskError
from app.core.records import Frame, FrameResult, Verdict
from app.core.scoring import video_opinion
from app.models.ensemble import Ensemble
from app.pipeline.batch import Models, judging_by
from app.pipeline.highlights import Highlights
from app.pipeline.live_state import LiveStats, Recent, Session, rate_alone
from app.pipeline.records import VideoReport
from app.vision.analyzer import AnalyzerOptions, FrameAnalyzer, ScoredFace

TRACKS_EVERY_S = 0.2
"""How often the verdicts on all tracks are copied for other threads."""

FACES_KEPT = 32
"""Tracks whose last scored picture is kept, for thumbnails and heatmaps."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame, when it was shown by the engine's clock, and which run of frames it belongs to (see Capture)."""

    frame: Frame
    at: float
    generation: int


class Analysis:
    """Analyses the newest shown frame, again and again. :meth:`run` is the thread's body.

    Args:
        on_result: told of every analysed frame, on the inference thread.
        redact: no face that is not flagged can be recognised in the report.
        on_flagged: told of every track whose displayed verdict turned to AI-GENERATED: its id and the reason.
    """

    def __init__(
        self,
        options: AnalyzerOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
        redact: bool = False,
        on_result: Callable[[Shown, FrameResult], None],
        on_flagged: Callable[[int, str], None],
    ) -> None:
        self.options = options
        """Read before every frame; any thread may set it."""
        self.highlights = Highlights(redact=redact)
        self.session = Session()
        self._clock = clock
        self._on_result, self._on_flagged = on_result, on_flagged
        self._to_analyse: LatestSlot[Shown] = LatestSlot()
        self._display: LatestSlot[Shown] = LatestSlot()
        self._results: LatestSlot[tuple[Shown, FrameResult]] = LatestSlot()
        self._lock = threading.Lock()
        self._verdicts: dict[int, Verdict] = {}
        self._faces: dict[int, ScoredFace] = {}
        self._shown_rate, self._scored_rate, self._score_rate = Recent(), Recent(), Recent()
        self._inference_ages, self._busy = Recent(), Recent()
        self.ensemble: Ensemble | None = None
        """The models, set once they are loaded."""
        self._copy_at = float("-inf")
        self._uncopied = False
        self._generation = 0

    # From any thread.

    def show(self, frame: Frame, generation: int) -> None:
        """The newest frame: to be shown, and to be analysed unless a newer one comes first."""
        now = self._clock()
        shown = Shown(frame, now, generation)
        self._shown_rate.add(now)
        self._display.put(shown)
        try:
            self._to_analyse.put(shown)
        except Closed:
            pass  # Stopping; the loop that called is about to see it.

    def close(self) -> None:
        """End :meth:`run`."""
        self._to_analyse.close(discard=True)

    def latest_frame(self) -> Frame | None:
        shown = self._display.peek()
        return None if shown is None else shown.frame

    def latest_result(self) -> FrameResult | None:
        found, shown = self._results.peek(), self._display.peek()
        if found is None or shown is None or found[0].generation != shown.generation:
            return None
        return found[1]

    def latest_analysed(self) -> tuple[Frame, FrameResult] | None:
        found = self._results.peek()
        return None if found is None else (found[0].frame, found[1])

    def latest_face(self, track: int) -> ScoredFace | None:
        return self._faces.get(track)

    def report(self, source: str, *, error: str | None, partial: bool) -> VideoReport:
        """The session so far.

        Raises:
            UnmaskError: the models are not loaded yet.
        """
        if self.ensemble is None:
            raise UnmaskError("nothing was analysed yet; export the report once faces are being judged")
        tracks, options = self.session.tracks, self.options
        frames, faces, last_s = self.session.totals
        with self._lock:
            highlights = self.highlights.of(tracks)
        return VideoReport(
            source=source,
            kind="video",
            opinion=video_opinion(tracks),
            frames=frames,
            faces=faces,
            duration_s=last_s,
            tracks=tracks,
            consensus=judging_by(self.ensemble.consensus, options),
            device=self.ensemble.device,
            settings={key: value for key, value in asdict(options).items() if value is not None},
            timelines=self.session.timelines(),
            highlights=highlights,
            redacted=self.highlights.redact,
            error=error,
            partial=partial,
        )

    def stats(self, *, running: bool, duration_s: float | None) -> LiveStats:
        now, ensemble = self._clock(), self.ensemble
        shown_fps, scored_fps = self._shown_rate.rate(now), self._scored_rate.rate(now)
        score_rate, alone_rate = self._score_rate.rate(now), 0.0
        models: tuple[tuple[str, float], ...] = ()
        if ensemble is not None and not ensemble.consensus.alone:
            names = (card.name for card in ensemble.consensus.cards)
            models = tuple(zip(names, ensemble.seconds, strict=True))
            alone_rate = rate_alone(score_rate, scored_fps, shown_fps, self._busy.rate(now), ensemble.seconds)
        shown, found = self._display.peek(), self._results.peek()
        newest = now if running or shown is None else shown.at
        return LiveStats(
            shown_fps=shown_fps,
            scored_fps=scored_fps,
            score_rate=score_rate,
            age_s=max(0.0, newest - found[0].at) if found else 0.0,
            inference_age_s=self._inference_ages.median(now),
            dropped=self._to_analyse.dropped,
            device="" if ensemble is None else ensemble.device,
            position_s=shown.frame.time_s if shown else 0.0,
            duration_s=duration_s,
            frames=self.session.totals[0],
            models=models,
            alone_rate=alone_rate,
        )

    # On the inference thread.

    def run(self, models: Models) -> None:
        """Analyse until :meth:`close`."""
        analyzer = FrameAnalyzer(models.detector, models.ensemble, self.options, on_scored=self._face_scored)
        try:
            while True:
                shown = self._to_analyse.get(TRACKS_EVERY_S)
                if shown is not None:
                    self._analyze(analyzer, shown)
                elif analyzer.options is not self.options:
                    self._judge_again(analyzer)
                self._copy_tracks(analyzer)
        except Closed:
            pass
        finally:
            self.session.set_tracks(analyzer.tracks())

    def _analyze(self, analyzer: FrameAnalyzer, shown: Shown) -> None:
        if analyzer.options is not self.options:
            analyzer.options = self.options
        if shown.generation != self._generation:
            self._generation = shown.generation
            analyzer.forget()
        began = self._clock()
        self._inference_ages.add(began, began - shown.at)
        result = analyzer.analyze(shown.frame)
        now = self._clock()
        self._busy.add(now, now - began)
        self._scored_rate.add(now)
        self._score_rate.add(now, sum(face.logit is not None for face in result.faces))
        self.session.add(result)
        self._uncopied = True
        self._results.put((shown, result))
        self._on_result(shown, result)
        self._flag(result)

    def _judge_again(self, analyzer: FrameAnalyzer) -> None:
        """Let new options show on a picture that stands still."""
        analyzer.options = self.options
        found = self._results.peek()
        if found is not None:
            shown, result = found
            result = analyzer.judge_again(shown.frame, result)
            self._uncopied = True
            self._results.put((shown, result))
            self._flag(result)

    def _flag(self, result: FrameResult) -> None:
        for face in result.faces:
            before = self._verdicts.get(face.track)
            self._verdicts[face.track] = face.opinion.verdict
            if face.opinion.verdict is Verdict.FAKE and before is not Verdict.FAKE:
                self._on_flagged(face.track, face.opinion.reason)
        for old in sorted(self._verdicts)[:-1000]:
            del self._verdicts[old]

    def _face_scored(self, face: ScoredFace) -> None:
        with self._lock:
            self.highlights.offer(face)
            self._faces.pop(face.track, None)
            self._faces[face.track] = face
            if len(self._faces) > FACES_KEPT:
                del self._faces[next(iter(self._faces))]

    def _copy_tracks(self, analyzer: FrameAnalyzer) -> None:
        began = self._clock()
        if self._uncopied and began >= self._copy_at:
            self.session.set_tracks(analyzer.tracks())
            self._uncopied = False
            # After hours in a crowd a copy takes a while: never more than a twentieth of the time goes into it.
            now = self._clock()
            self._copy_at = now + max(TRACKS_EVERY_S, 19 * (now - began))
