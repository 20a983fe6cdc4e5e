"""Everything that passes between stages: frozen, slotted, validated records.

Units everywhere: boxes are pixel ``xyxy`` on the frame they were found in, times are seconds from the
start of the stream, probabilities lie in [0, 1], logits are natural log-odds of "AI-generated".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

ImageU8 = npt.NDArray[np.uint8]


class Verdict(StrEnum):
    """What is said of a face, a track, a picture or a video."""

    REAL = "real"
    FAKE = "fake"
    UNCERTAIN = "uncertain"

    @property
    def words(self) -> str:
        """The verdict as people read it."""
        return {"real": "REAL", "fake": "AI-GENERATED", "uncertain": "CAN'T TELL"}[self.value]


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned rectangle, pixel xyxy; it may reach beyond the picture.

    Raises:
        ValueError: a coordinate is not finite, or the box has no area.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in (self.x0, self.y0, self.x1, self.y1)):
            raise ValueError(f"box coordinates must be finite, got {self.xyxy}")
        if self.x1 <= self.x0 or self.y1 <= self.y0:
            raise ValueError(f"box must have x0 < x1 and y0 < y1, got {self.xyxy}")

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        return (self.x0, self.y0, self.x1, self.y1)

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def size(self) -> float:
        """The shorter side, pixels: what "a face of 64 px" means."""
        return min(self.width, self.height)

    @property
    def centre(self) -> tuple[float, float]:
        return ((self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2)

    def iou(self, other: Box) -> float:
        """Intersection over union with ``other``, in [0, 1]."""
        w = min(self.x1, other.x1) - max(self.x0, other.x0)
        h = min(self.y1, other.y1) - max(self.y0, other.y0)
        if w <= 0 or h <= 0:
            return 0.0
        overlap = w * h
        # The minimum guards against rounding: identical boxes may otherwise give 1 + 1e-16.
        return min(1.0, overlap / (self.width * self.height + other.width * other.height - overlap))

    def rounded(self, digits: int = 2) -> Box:
        """The box as it is written to files, so that what is read back is what was used."""
        return Box(*(round(v, digits) for v in self.xyxy))


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture of a stream.

    Attributes:
        index: 0-based position in the stream.
        time_s: seconds from the start of the stream, from the stream's own timestamps.
        image: uint8 BGR (H, W, 3).
    """

    index: int
    time_s: float
    image: ImageU8

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(
                f"frame image must be uint8 of shape (H, W, 3), got {self.image.dtype} of shape {self.image.shape}"
            )
        if self.index < 0 or not math.isfinite(self.time_s):
            raise ValueError(f"frame index must be >= 0 and its time finite, got {self.index} at {self.time_s}")


@dataclass(frozen=True, slots=True)
class Detection:
    """A face found in a frame.

    Attributes:
        box: where it is.
        confidence: the detector's own score, [0, 1].
        keypoints: (x, y) pixels of right eye, left eye, nose tip, mouth, right ear, left ear (the person's own
            right and left), or empty when the detector gives none.
    """

    box: Box
    confidence: float
    keypoints: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"detection confidence must lie in [0, 1], got {self.confidence}")
        if len(self.keypoints) not in (0, 6):
            raise ValueError(f"a detection has 6 keypoints or none, got {len(self.keypoints)}")


@dataclass(frozen=True, slots=True)
class Quality:
    """What decides whether a face can be judged at all.

    Attributes:
        size_px: shorter side of the face's box.
        sharpness: standard deviation of the Laplacian of the crop divided by that of its grey levels; [0, inf).
        brightness: mean grey level of the crop, [0, 255].
        yaw: how far the face is turned, 0 facing the camera, 1 in full profile.
    """

    size_px: float
    sharpness: float
    brightness: float
    yaw: float


@dataclass(frozen=True, slots=True)
class Opinion:
    """A verdict with the number and the words that belong to it; ``p_fake`` is None where nothing was scored."""

    verdict: Verdict
    p_fake: float | None
    reason: str

    def __post_init__(self) -> None:
        if self.p_fake is not None and not 0.0 <= self.p_fake <= 1.0:
            raise ValueError(f"p_fake must lie in [0, 1] or be None, got {self.p_fake}")


@dataclass(frozen=True, slots=True)
class Vote:
    """What one model of several says.

    Attributes:
        verdict: what it would say alone, by its own card.
        p_fake: by its own calibration, over the same time as the opinion it belongs to.
        logit: this frame's own calibrated logit; None where the face was not scored on this frame, and of tracks.
    """

    model: str
    verdict: Verdict
    p_fake: float
    logit: float | None = None


@dataclass(frozen=True, slots=True)
class FaceResult:
    """One face of one frame after tracking and scoring.

    Attributes:
        track: stable id, from 1.
        detection: where the face is.
        quality: measured on this frame's crop; None on frames where the face was not cropped.
        logit: this frame's own calibrated logit; None where the face was not scored on this frame.
        opinion: what the track's evidence says up to this frame.
        votes: the models' own answers behind the opinion; empty where one judges alone.
    """

    track: int
    detection: Detection
    quality: Quality | None
    logit: float | None
    opinion: Opinion
    votes: tuple[Vote, ...] = ()


@dataclass(frozen=True, slots=True)
class FrameResult:
    """Everything known of one frame."""

    index: int
    time_s: float
    faces: tuple[FaceResult, ...]
    cut: bool = False


@dataclass(frozen=True, slots=True)
class TrackResult:
    """One face followed through a stream.

    ``evidence`` is the mean calibrated logit behind ``opinion`` (None where nothing usable was scored),
    ``scored`` the number of usable scores in it, and ``judged`` tells whether they were enough for a verdict: an
    uncertain track that was judged is undecided, another could not be told at all. ``votes`` are the models' own
    answers by all their scores, empty where one judges alone.
    """

    id: int
    opinion: Opinion
    first_s: float
    last_s: float
    faces: int
    scored: int
    evidence: float | None
    largest_px: float
    judged: bool = True
    votes: tuple[Vote, ...] = ()
