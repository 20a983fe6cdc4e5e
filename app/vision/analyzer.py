"""FrameAnalyzer: one frame in, every face of it found, followed, scored and judged. Synchronous, no threads."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

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
from app.core.scoring import sigmoid, verdict_of, why_not_judged
from app.models.ensemble import Crops, Ensemble
from app.vision.detector import FaceDetector
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
            chosen = chosen.model_copy(update={"fake": self.threshold, "real": min(chosen.real, self.threshold)})
        if self.min_scores is not None:
            chosen = chosen.model_copy(update={"min_scores": self.min_scores})
        if self.min_size_px is not None:
            chosen = chosen.model_copy(update={"min_size_px": self.min_size_px})
        return chosen


@dataclass(frozen=True, slots=True)
class ScoredFace:
    """A face when it was scored: the calibrated logit, and the first model's crop (uint8 RGB) and evidence map.

    ``others`` are the boxes of the frame's other faces, pixels of the crop; most lie outside it.
    """

    track: int
    time_s: float
    logit: float
    crop: ImageU8
    evidence: npt.NDArray[np.float32]
    others: tuple[Box, ...] = ()


@dataclass(slots=True)
class _Track:
    first_s: float
    last_s: float
    faces: int = 0
    largest_px: float = 0.0
    scored_s: float | None = None
    scored_box: tuple[float, float, float, float] | None = None
    evidence: Evidence = field(default_factory=Evidence)
    members: list[Evidence] = field(default_factory=list)  # Of every model, where there are several.
    refusals: Counter[str] = field(default_factory=Counter)
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class _Look:
    """A face as it was cropped: its quality by the first model's crop, and why some model cannot judge it."""

    crops: Crops
    quality: Quality
    refusal: str | None


@dataclass(frozen=True, slots=True)
class _Score:
    """What became of a face that was due: logits of the consensus and of its members, none where it was refused."""

    quality: Quality | None = None
    logit: float | None = None
    logits: tuple[float, ...] = ()


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
        self._tracks: dict[int, _Track] = {}
        self._thumbnail: npt.NDArray[np.int16] | None = None

    def analyze(self, frame: Frame) -> FrameResult:
        """Everything known of ``frame``, faces largest first. Frames come in order of time."""
        cut = self._is_cut(frame.image)
        detections = self._detector.detect(frame.image)
        ids = self._tracker.update(detections, frame.time_s, cut=cut)
        for id_, detection in zip(ids, detections, strict=True):
            track = self._tracks.get(id_) or self._new_track(id_, frame.time_s)
            track.last_s = frame.time_s
            track.faces += 1
            track.largest_px = max(track.largest_px, detection.box.size)
        scores = self._score(frame, *self._due(frame, ids, detections), detections)
        faces = []
        for id_, detection in zip(ids, detections, strict=True):
            score = scores.get(id_, _Score())
            now = self._opinion_now(self._tracks[id_], frame.time_s, score.logits)
            faces.append(FaceResult(id_, detection, score.quality, score.logit, *now))
        return FrameResult(frame.index, frame.time_s, tuple(faces), cut)

    def judge_again(self, frame: Frame, result: FrameResult) -> FrameResult:
        """``result``, the last one, of ``frame``, as it would be by the options as they are now.

        One picture seen twice is no more evidence: only faces that were refused, and are no longer, are scored.
        """
        refusals = [self._look(frame, f.detection, 0).refusal for f in result.faces]
        judged = zip(result.faces, refusals, strict=True)
        due = [(f.track, f.detection) for f, no in judged if no is None and self._tracks[f.track].refusal is not None]
        scores = self._score(frame, due, None, [f.detection for f in result.faces])
        faces = []
        for face, refusal in zip(result.faces, refusals, strict=True):
            own = tuple(vote.logit for vote in face.votes if vote.logit is not None)
            score = scores.get(face.track, _Score(face.quality, face.logit, own))
            now = self._opinion_now(self._tracks[face.track], frame.time_s, score.logits)
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

    def _track_result(self, id_: int, t: _Track) -> TrackResult:
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

    def _new_track(self, id_: int, time_s: float) -> _Track:
        cards = self._consensus.cards
        members = [] if self._consensus.alone else [Evidence() for _ in cards]
        track = self._tracks[id_] = _Track(time_s, time_s, members=members)
        return track

    def _due(
        self, frame: Frame, ids: Sequence[int], detections: Sequence[Detection]
    ) -> tuple[list[tuple[int, Detection]], int | None]:
        """The faces to be scored on this frame, in turn, and how many of them at most."""
        most = self._options.max_scores_per_frame
        due = [p for p in zip(ids, detections, strict=True) if self._is_due(self._tracks[p[0]], p[1], frame.time_s)]
        if most is not None:
            due.sort(key=lambda p: self._turn(p[0]))
        return due, most

    def _look(self, frame: Frame, detection: Detection, turn: int | None) -> _Look:
        crops = self._ensemble.crops(frame.image, detection.box, turn)
        qualities = {input_: _rounded(measure_quality(views[0], detection)) for input_, views in crops.items()}
        refusals = (why_not_judged(quality, self._gates[input_]) for input_, quality in qualities.items())
        return _Look(crops, qualities[self._first], next((no for no in refusals if no is not None), None))

    def _score(
        self, frame: Frame, due: Sequence[tuple[int, Detection]], most: int | None, present: Sequence[Detection]
    ) -> dict[int, _Score]:
        """Crop and score, ``most`` at most: track id -> quality and, where the gates let it pass, calibrated logits."""
        results: dict[int, _Score] = {}
        passed: list[tuple[int, _Look, Detection]] = []
        for id_, detection in due:
            track = self._tracks[id_]
            if most is not None and len(passed) >= most:
                break
            track.scored_s, track.scored_box = frame.time_s, detection.box.xyxy
            look = self._look(frame, detection, self._turn_of_views(track))
            track.refusal = look.refusal
            if track.refusal is None:
                passed.append((id_, look, detection))
            else:
                track.refusals[track.refusal.split(":")[0]] += 1
                results[id_] = _Score(look.quality)
        if passed:
            smoothing = {} if self._options.smoothing_s is None else {"time_constant_s": self._options.smoothing_s}
            turns = [self._turn_of_views(self._tracks[id_]) for id_, _, _ in passed]
            judgements = self._ensemble.score([look.crops for _, look, _ in passed], turns)
            for (id_, look, detection), judged in zip(passed, judgements, strict=True):
                track = self._tracks[id_]
                track.evidence.add(judged.logit, frame.time_s, **smoothing)
                for member, logit in zip(track.members, judged.logits, strict=False):  # No members where one is alone.
                    member.add(logit, frame.time_s, **smoothing)
                results[id_] = _Score(look.quality, judged.logit, judged.logits)
                if self._on_scored:
                    crop, others = look.crops[self._first][0], self._others(detection, present)
                    self._on_scored(ScoredFace(id_, frame.time_s, judged.logit, crop, judged.evidence, others))
        return results

    def _turn_of_views(self, track: _Track) -> int | None:
        return None if self._options.all_views else track.evidence.count

    def _others(self, detection: Detection, present: Sequence[Detection]) -> tuple[Box, ...]:
        """The boxes of all faces but ``detection``, in pixels of its crop."""
        input_ = self._first
        left, top, side = square_around(detection.box, input_.crop_scale)
        k = input_.size / side
        boxes = [other.box for other in present if other is not detection]
        return tuple(Box((b.x0 - left) * k, (b.y0 - top) * k, (b.x1 - left) * k, (b.y1 - top) * k) for b in boxes)

    def _turn(self, id_: int) -> tuple[float, int]:
        """Where few may be scored, the smallest goes first: scored longest ago, then least often."""
        track = self._tracks[id_]
        return (-math.inf if track.scored_s is None else track.scored_s, track.evidence.count)

    def _is_due(self, track: _Track, detection: Detection, time_s: float) -> bool:
        if track.scored_s is None or track.scored_box is None or track.evidence.count < self._options.eager_scores:
            return True
        if time_s - track.scored_s >= self._options.score_interval_s - 1e-6:
            return True
        moved = max(abs(a - b) for a, b in zip(detection.box.xyxy, track.scored_box, strict=True))
        return moved > self._options.changed * detection.box.size

    def _opinion_now(
        self, track: _Track, time_s: float, logits: Sequence[float] = ()
    ) -> tuple[Opinion, tuple[Vote, ...]]:
        """What the picture shows: by the last second's evidence; ``logits`` are the members' on this very frame."""
        recent, needs = track.evidence.recent, self._thresholds.min_scores
        if track.refusal is not None and (recent is None or time_s - track.evidence.last_s > 1.0):
            return Opinion(Verdict.UNCERTAIN, None, track.refusal), ()
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

    def _opinion_overall(self, track: _Track, votes: Sequence[Vote]) -> Opinion:
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
        small = cv2.resize(image, (32, 18), interpolation=cv2.INTER_AREA).astype(np.int16)
        before, self._thumbnail = self._thumbnail, small
        return before is not None and float(np.abs(small - before).mean()) > CUT_DIFFERENCE

    def state(self) -> dict[str, Any]:
        """All there is to know, as JSON, so that an interrupted scan goes on as if nothing had happened."""
        return {
            "tracker": self._tracker.state(),
            "thumbnail": None if self._thumbnail is None else self._thumbnail.tolist(),
            "tracks": {
                str(id_): {
                    "first_s": t.first_s,
                    "last_s": t.last_s,
                    "faces": t.faces,
                    "largest_px": t.largest_px,
                    "scored_s": t.scored_s,
                    "scored_box": t.scored_box,
                    "evidence": t.evidence.state(),
                    "members": [member.state() for member in t.members],
                    "refusals": dict(t.refusals),
                    "refusal": t.refusal,
                }
                for id_, t in self._tracks.items()
            },
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state`."""
        self._tracker.restore(state["tracker"])
        thumbnail = state["thumbnail"]
        self._thumbnail = None if thumbnail is None else np.asarray(thumbnail, np.int16)
        self._tracks = {
            int(id_): _Track(
                **t
                | {
                    "scored_box": None if t["scored_box"] is None else tuple(t["scored_box"]),
                    "evidence": Evidence.restored(t["evidence"]),
                    "members": [Evidence.restored(member) for member in t.get("members", ())],
                    "refusals": Counter(t["refusals"]),
                }
            )
            for id_, t in state["tracks"].items()
        }


def _too_brief(count: int, needs: int) -> str:
    return f"seen too briefly: {count} usable picture{'' if count == 1 else 's'}, needs {needs}"


def _rounded(quality: Quality) -> Quality:
    return replace(
        quality,
        sharpness=round(quality.sharpness, 4),
        brightness=round(quality.brightness, 2),
        yaw=round(quality.yaw, 4),
    )
