"""FrameAnalyzer: a frame in, every face of it found, followed, scored and judged. Synchronous, no threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from app.core.channels import Stop
from app.core.crops import measure_quality, square_around
from app.core.records import (
    Box,
    Detection,
    FaceResult,
    Frame,
    FrameResult,
    ImageU8,
    Opinion,
    Quality,
    TrackResult,
    Verdict,
    Vote,
)
from app.core.scoring import sigmoid, verdict_of, why_not_judged, with_threshold
from app.models.ensemble import Ensemble, Judgement
from app.models.runtimes import OpenVINOClassifier
from app.vision.detector import FaceDetector
from app.vision.found import Found, Look, Score, Track
from app.vision.smoothing import Evidence
from app.vision.tracker import Tracker

if TYPE_CHECKING:
    from app.core.cards import Thresholds

CUT_DIFFERENCE = 30.0
"""Mean change of a 32x18 thumbnail, in grey levels, from which two frames count as different scenes."""


@dataclass(frozen=True, slots=True)
class AnalyzerOptions:
    """How often faces are scored, and what overrides the card.

    Attributes:
        score_interval_s: a face that has not changed is scored this often; 0 scores it on every frame.
        eager_scores: a new face is scored on every frame until it has this many scores.
        changed: a face whose box moved or grew by this share of its size since its last score is scored again.
        threshold: replaces the card's threshold of AI-GENERATED.
        min_scores: replaces the card's number of scores that a verdict needs (1 for a single picture).
        min_size_px: replaces the card's least size of a face that can be judged.
        smoothing_s: time constant of what the picture shows; None for :class:`Evidence`'s own.
        max_scores_per_frame: faces scored on one frame at most, those scored longest ago first; None for all. Keeps a
            live picture's frames short on a CPU.
        all_views: a score is the mean over all views of a face; else they take turns, which costs a video nothing.
    """

    score_interval_s: float = 0.2
    eager_scores: int = 3
    changed: float = 0.35
    threshold: float | None = None
    min_scores: int | None = None
    min_size_px: float | None = None
    smoothing_s: float | None = None
    max_scores_per_frame: int | None = None
    all_views: bool = False

    def thresholds(self, chosen: Thresholds) -> Thresholds:
        """``chosen`` thresholds, of a card or a consensus, with these options on top."""
        if self.threshold is not None:
            chosen = with_threshold(chosen, self.threshold)
        if self.min_scores is not None:
            chosen = chosen.model_copy(update={"min_scores": self.min_scores})
        if self.min_size_px is not None:
            chosen = chosen.model_copy(update={"min_size_px": self.min_size_px})
        return chosen


@dataclass(frozen=True, slots=True)
class ScoredFace:
    """A face when it was scored: the calibrated logit, and the first model's crop (uint8 RGB) and evidence map.

    ``others`` are the frame's other faces, pixels of the crop; ``own`` is the first model's logit, None for ``logit``.
    """

    track: int
    time_s: float
    logit: float
    crop: ImageU8
    evidence: npt.NDArray[np.float32]
    others: tuple[Box, ...] = ()
    own: float | None = None

    @property
    def toward_fake(self) -> bool:
        """Which way the model leans whose evidence this is."""
        return (self.logit if self.own is None else self.own) > 0


class FrameAnalyzer:
    """Detect every frame; score a face when it is new, changed or due; judge it by all its scores.

    Args:
        detector: finds faces.
        ensemble: crops and scores faces; its consensus has the thresholds.
        options: see :class:`AnalyzerOptions`.
        on_scored: told of every score that passed the quality gates.
    """

    def __init__(
        self,
        detector: FaceDetector,
        ensemble: Ensemble,
        options: AnalyzerOptions | None = None,
        on_scored: Callable[[ScoredFace], None] | None = None,
    ) -> None:
        self._detector = detector
        self._ensemble = ensemble
        self._consensus = ensemble.consensus
        self._first = ensemble.consensus.inputs[0]
        self.options = options or AnalyzerOptions()
        self._on_scored = on_scored
        self._tracker = Tracker()
        self._tracks: dict[int, Track] = {}
        self._thumbnail: npt.NDArray[np.int16] | None = None

    def analyze(self, frame: Frame) -> FrameResult:
        """Everything known of ``frame``, faces largest first. Frames come in order of time."""
        return self.judge([self.find(frame)])[0]

    def find(self, frame: Frame) -> Found:
        """The first half of :meth:`analyze`; the second is :meth:`judge`, of several frames if they can wait."""
        cut = self._is_cut(frame.image)
        detections = self._detector.detect(frame.image)
        ids = self._tracker.update(detections, frame.time_s, cut=cut)
        found = dict(zip(ids, detections, strict=True))
        for id_, detection in found.items():
            track = self._tracks.get(id_) or self._new_track(id_, frame.time_s)
            track.last_s = frame.time_s
            track.faces += 1
            track.largest_px = max(track.largest_px, detection.box.size)
        looks = self._looks(frame, *self._due(frame, found))
        refusals = {id_: self._tracks[id_].refusal for id_ in found}
        return Found(frame.index, frame.time_s, cut, found, refusals, looks)

    def judge(self, found: Sequence[Found]) -> list[FrameResult]:
        """The results of frames in the order of :meth:`find`, the same as one by one; their faces are one batch."""
        judgements, results = iter(self._judgements(found)), []
        for frame in found:
            scores = self._scores(frame, judgements)
            faces = []
            for id_, detection in frame.detections.items():
                score = scores.get(id_, Score())
                now = self._opinion_now(self._tracks[id_], frame.refusals[id_], frame.time_s, score.logits)
                faces.append(FaceResult(id_, detection, score.quality, score.logit, *now))
            results.append(FrameResult(frame.index, frame.time_s, tuple(faces), frame.cut))
        return results

    def judge_again(self, frame: Frame, result: FrameResult) -> FrameResult:
        """``result``, the last one, of ``frame``, as it would be by the options as they are now.

        One picture seen twice is no more evidence: only faces that were refused, and are no longer, are scored.
        """
        refusals = [self._look(frame, f.detection, 0).refusal for f in result.faces]
        judged = zip(result.faces, refusals, strict=True)
        due = [(f.track, f.detection) for f, no in judged if no is None and self._tracks[f.track].refusal is not None]
        looks = self._looks(frame, due, None)
        faces_there = {f.track: f.detection for f in result.faces}
        found = Found(result.index, result.time_s, result.cut, faces_there, {}, looks)
        scores = self._scores(found, iter(self._judgements([found])))
        faces = []
        for face, refusal in zip(result.faces, refusals, strict=True):
            own = tuple(vote.logit for vote in face.votes if vote.logit is not None)
            score = scores.get(face.track, Score(face.quality, face.logit, own))
            track = self._tracks[face.track]
            now = self._opinion_now(track, track.refusal, frame.time_s, score.logits)
            opinion, votes = now if refusal is None else (Opinion(Verdict.UNCERTAIN, None, refusal), ())
            faces.append(replace(face, quality=score.quality, logit=score.logit, opinion=opinion, votes=votes))
        return replace(result, faces=tuple(faces))

    @property
    def options(self) -> AnalyzerOptions:
        """How often faces are scored, and what overrides the card. New ones apply from the next frame on."""
        return self._options

    @options.setter
    def options(self, options: AnalyzerOptions) -> None:
        self._options = options
        self._thresholds = options.thresholds(self._consensus.thresholds)
        self._gates = self._consensus.gates(self._thresholds)
        self._own = [options.thresholds(card.thresholds) for card in self._consensus.cards]

    def forget(self) -> None:
        """Frames go on elsewhere in the stream: whoever is there is nobody who was followed before.

        Ids stay unique, and :meth:`tracks` still tells of the earlier faces.
        """
        self._tracker.update([], 0.0, cut=True)
        self._thumbnail = None

    def tracks(self) -> list[TrackResult]:
        """The verdict on every face seen so far, in order of appearance."""
        return [self._track_result(id_, track) for id_, track in sorted(self._tracks.items())]

    def _track_result(self, id_: int, t: Track) -> TrackResult:
        votes = self._votes([member.mean for member in t.members])
        return TrackResult(
            id_,
            self._opinion_overall(t, votes),
            t.first_s,
            t.last_s,
            t.faces,
            t.evidence.count,
            t.evidence.mean,
            t.largest_px,
            judged=t.evidence.count >= self._thresholds.min_scores,
            votes=votes,
        )

    def _new_track(self, id_: int, time_s: float) -> Track:
        cards = self._consensus.cards
        members = [] if self._consensus.alone else [Evidence() for _ in cards]
        track = self._tracks[id_] = Track(time_s, time_s, members=members)
        return track

    def _due(self, frame: Frame, found: Mapping[int, Detection]) -> tuple[list[tuple[int, Detection]], int | None]:
        """The faces to be scored on this frame, in turn, and how many of them at most."""
        most = self._options.max_scores_per_frame
        due = [p for p in found.items() if self._is_due(self._tracks[p[0]], p[1], frame.time_s)]
        if most is not None:
            due.sort(key=lambda p: self._turn(p[0]))
        return due, most

    def _look(self, frame: Frame, detection: Detection, turn: int | None) -> Look:
        crops = self._ensemble.crops(frame.image, detection.box, turn)
        qualities = {input_: _rounded(measure_quality(views[0], detection)) for input_, views in crops.items()}
        refusals = (why_not_judged(quality, self._gates[input_]) for input_, quality in qualities.items())
        return Look(crops, qualities[self._first], next((no for no in refusals if no is not None), None), turn)

    def _looks(self, frame: Frame, due: Sequence[tuple[int, Detection]], most: int | None) -> dict[int, Look]:
        """Crop until ``most`` faces may be scored: track id -> look and turn of its views."""
        looks: dict[int, Look] = {}
        passed = 0
        for id_, detection in due:
            track = self._tracks[id_]
            if most is not None and passed >= most:
                break
            track.scored_s, track.scored_box = frame.time_s, detection.box.xyxy
            turn = None if self._options.all_views else track.passed
            look = looks[id_] = self._look(frame, detection, turn)
            track.refusal = look.refusal
            if track.refusal is None:
                passed += 1
                track.passed += 1
            else:
                track.refusals[track.refusal.split(":")[0]] += 1
        return looks

    def _judgements(self, found: Sequence[Found]) -> list[Judgement]:
        """What the models say of the faces that may be scored, in order, as one batch."""
        waiting = [look for frame in found for look in frame.waiting]
        if not waiting:
            return []
        return self._ensemble.score([look.crops for look in waiting], [look.turn for look in waiting])

    def _scores(self, found: Found, judgements: Iterator[Judgement]) -> dict[int, Score]:
        """Take the judgements on a frame into the evidence: track id -> quality and, where it was scored, logits."""
        smoothing = {} if self._options.smoothing_s is None else {"time_constant_s": self._options.smoothing_s}
        scores: dict[int, Score] = {}
        for id_, look in found.looks.items():
            if look.refusal is not None:
                scores[id_] = Score(look.quality)
                continue
            judged, track = next(judgements), self._tracks[id_]
            track.evidence.add(judged.logit, found.time_s, **smoothing)
            for member, logit in zip(track.members, judged.logits, strict=False):  # No members where one is alone.
                member.add(logit, found.time_s, **smoothing)
            scores[id_] = Score(look.quality, judged.logit, judged.logits)
            if self._on_scored:
                crop, others = look.crops[self._first][0], self._others(id_, found.detections)
                own = judged.logits[0]
                self._on_scored(ScoredFace(id_, found.time_s, judged.logit, crop, judged.evidence, others, own))
        return scores

    def _others(self, id_: int, present: Mapping[int, Detection]) -> tuple[Box, ...]:
        """The boxes of all faces but this one, in pixels of its crop."""
        input_ = self._first
        left, top, side = square_around(present[id_].box, input_.crop_scale)
        k = input_.size / side
        boxes = [other.box for track, other in present.items() if track != id_]
        return tuple(Box((b.x0 - left) * k, (b.y0 - top) * k, (b.x1 - left) * k, (b.y1 - top) * k) for b in boxes)

    def _turn(self, id_: int) -> tuple[float, int]:
        """Where few may be scored, the smallest goes first: scored longest ago, then least often."""
        track = self._tracks[id_]
        return (-math.inf if track.scored_s is None else track.scored_s, track.passed)

    def _is_due(self, track: Track, detection: Detection, time_s: float) -> bool:
        if track.scored_s is None or track.scored_box is None or track.passed < self._options.eager_scores:
            return True
        if time_s - track.scored_s >= self._options.score_interval_s - 1e-6:
            return True
        moved = max(abs(a - b) for a, b in zip(detection.box.xyxy, track.scored_box, strict=True))
        return moved > self._options.changed * detection.box.size

    def _opinion_now(
        self, track: Track, refusal: str | None, time_s: float, logits: Sequence[float] = ()
    ) -> tuple[Opinion, tuple[Vote, ...]]:
        """What the picture shows: by the last second's evidence; ``logits`` are the members' on this very frame."""
        recent, needs = track.evidence.recent, self._thresholds.min_scores
        if refusal is not None and (recent is None or time_s - track.evidence.last_s > 1.0):
            return Opinion(Verdict.UNCERTAIN, None, refusal), ()
        if recent is None:
            return Opinion(Verdict.UNCERTAIN, None, "not scored yet"), ()
        votes = self._votes([member.recent for member in track.members], logits)
        if track.evidence.count < needs:
            return Opinion(Verdict.UNCERTAIN, sigmoid(recent), _too_brief(track.evidence.count, needs)), votes
        return self._consensus.opinion(recent, votes, self._thresholds, "over the last second"), votes

    def _votes(self, evidence: Sequence[float | None], logits: Sequence[float] = ()) -> tuple[Vote, ...]:
        """The members' own answers by their ``evidence``, none where one is alone or nothing was scored."""
        now: Sequence[float | None] = logits or [None] * len(evidence)
        answers = zip(self._consensus.cards, self._own, evidence, now, strict=False)
        return tuple(
            Vote(card.name, verdict_of(p := sigmoid(mean), own), p, logit)
            for card, own, mean, logit in answers
            if mean is not None
        )

    def _opinion_overall(self, track: Track, votes: Sequence[Vote]) -> Opinion:
        """The verdict on the whole track: by the mean of all its usable scores."""
        mean, count, needs = track.evidence.mean, track.evidence.count, self._thresholds.min_scores
        if mean is not None and count >= needs:
            basis = f"over {count} scored picture{'s' if count > 1 else ''}"
            return self._consensus.opinion(mean, votes, self._thresholds, basis)
        if track.refusals and track.refusals.total() > count:
            usual = track.refusals.most_common(1)[0][0]
            reason = track.refusal if track.refusal and track.refusal.startswith(usual) else usual
            return Opinion(Verdict.UNCERTAIN, None if mean is None else sigmoid(mean), reason)
        return Opinion(Verdict.UNCERTAIN, None if mean is None else sigmoid(mean), _too_brief(count, needs))

    def _is_cut(self, image: ImageU8) -> bool:
        # Of a large picture some pixels tell as much, at a quarter of the time.
        step = max(1, min(image.shape[1] // 256, image.shape[0] // 144))
        some = np.ascontiguousarray(image[::step, ::step])
        small = cv2.resize(some, (32, 18), interpolation=cv2.INTER_AREA).astype(np.int16)
        before, self._thumbnail = self._thumbnail, small
        return before is not None and float(np.abs(small - before).mean()) > CUT_DIFFERENCE

    def state(self) -> dict[str, Any]:
        """All there is to know when every frame is judged, as JSON, so that an interrupted scan goes on as it was."""
        return {
            "tracker": self._tracker.state(),
            "thumbnail": None if self._thumbnail is None else self._thumbnail.tolist(),
            "tracks": {str(id_): track.state() for id_, track in self._tracks.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state`."""
        self._tracker.restore(state["tracker"])
        thumbnail = state["thumbnail"]
        self._thumbnail = None if thumbnail is None else np.asarray(thumbnail, np.int16)
        self._tracks = {int(id_): Track.restored(track) for id_, track in state["tracks"].items()}


def together(
    analyzer: FrameAnalyzer, frames: Iterable[Frame], most: int, stop: Stop
) -> Iterator[list[tuple[Frame, Found]]]:
    """Frames with their faces, ``most`` at once, until enough faces wait for the classifier.

    The scores are those of one face at a time; a batch only costs less.
    """
    some: list[tuple[Frame, Found]] = []
    faces = 0
    for frame in frames:
        found = analyzer.find(frame)
        some.append((frame, found))
        faces += len(found.waiting)
        if faces >= OpenVINOClassifier.MAX_BATCH or len(some) >= most or stop.is_set():
            yield some
            some, faces = [], 0
    if some:
        yield some


def _too_brief(count: int, needs: int) -> str:
    return f"seen too briefly: {count} usable picture{'' if count == 1 else 's'}, needs {needs}"


def _rounded(quality: Quality) -> Quality:
    return replace(
        quality,
        sharpness=round(quality.sharpness, 4),
        brightness=round(quality.brightness, 2),
        yaw=round(quality.yaw, 4),
    )
