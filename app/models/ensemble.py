"""Ensemble: the loaded members of a consensus, which look at the same crops and answer together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from app.core.consensus import Consensus
from app.core.records import Box, ImageU8
from app.core.scoring import calibrated
from app.models.runtimes import Classifier
from app.models.views import Views, score_views, views_of

if TYPE_CHECKING:
    from app.core.cards import Preprocessing

Crops = Mapping["Preprocessing", Views]
"""One face as the members want it; those that want the same are given the very same arrays."""

DIGITS = 4
"""Decimals of a logit that is kept: what a resumed scan reads back is what was used."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the members say of one crop.

    Attributes:
        logit: of the consensus.
        logits: of the members, each calibrated by its own card, in the order of the consensus.
        evidence: float32 (h, w), the first member's: see :mod:`app.models.gradcam`.
    """

    logit: float
    logits: tuple[float, ...]
    evidence: npt.NDArray[np.float32]


class Ensemble:
    """Scores faces by every member. Made, used and closed on one thread; figures may be read from any.

    Args:
        classifiers: in the order of ``consensus.cards``.
        clock: for the members' times, seconds.
    """

    def __init__(
        self,
        consensus: Consensus,
        classifiers: Sequence[Classifier],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if len(classifiers) != len(consensus.cards):
            raise ValueError(f"{len(consensus.cards)} models need as many classifiers, got {len(classifiers)}")
        self.consensus = consensus
        self.classifiers = tuple(classifiers)
        self._clock = clock
        self._seconds = [0.0] * len(classifiers)

    @property
    def device(self) -> str:
        """What the members run on, for people."""
        return ", ".join(dict.fromkeys(classifier.device for classifier in self.classifiers))

    @property
    def seconds(self) -> tuple[float, ...]:
        """What each member lately took for a face, seconds; 0 before its first."""
        return tuple(self._seconds)

    def crops(self, image: ImageU8, box: Box, turn: int | None = None) -> Crops:
        """The face at ``box`` of a uint8 BGR image, once for every kind of input; see :func:`views_of`."""
        return {i: views_of(image, box, i, turn) for i in self.consensus.inputs}

    def score(self, faces: Sequence[Crops], turns: Sequence[int | None] | None = None) -> list[Judgement]:
        """What the members say of every face, at least one; each member gets them as one batch.

        Args:
            turns: see :func:`app.models.views.score_views`.
        """
        logits: list[list[float]] = []
        maps: list[npt.NDArray[np.float32]] = []
        for n, (card, classifier) in enumerate(zip(self.consensus.cards, self.classifiers, strict=True)):
            began = self._clock()
            how = card.preprocessing
            scores = score_views(classifier, [crops[how] for crops in faces], how, turns)
            took = (self._clock() - began) / len(faces)
            self._seconds[n] += (took - self._seconds[n]) * (0.1 if self._seconds[n] else 1.0)
            logits.append([calibrated(float(raw), card.calibration) for raw in scores.logits])
            maps.append(scores.maps)
        return [
            Judgement(round(self.consensus.logit(own), DIGITS), tuple(round(o, DIGITS) for o in own), evidence)
            for own, evidence in zip(zip(*logits, strict=True), maps[0], strict=True)
        ]

    def close(self) -> None:
        for classifier in self.classifiers:
            classifier.close()
