"""Views of a face: a model may look twice, as the face is and mirrored in another crop, and answer with the mean.

Averaging over transformed copies is as old as AlexNet (Krizhevsky et al., NeurIPS 2012, section 4.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from app.core.crops import crop_face
from app.core.records import Box, ImageU8
from app.models.runtimes import Classifier, Scores

if TYPE_CHECKING:
    from app.core.cards import Preprocessing

Views = tuple[ImageU8, ...]
"""One face, uint8 RGB (size, size, 3) each: first the crop that people are shown, then the others."""


def views_of(image: ImageU8, box: Box, how: Preprocessing, turn: int | None = None) -> Views:
    """The views of the face at ``box`` of a uint8 BGR image.

    Args:
        turn: as for :func:`score_views`; the second view is only cut where it is to be scored.

    Raises:
        ValueError: the face lies outside the picture.
    """
    first = crop_face(image, box, how.size, how.crop_scale)
    if how.second_scale is None or (turn is not None and turn % 2 == 0):
        return (first,)
    second = crop_face(image, box, how.size, how.second_scale)
    return first, np.ascontiguousarray(second[:, ::-1])


def score_views(
    classifier: Classifier, faces: Sequence[Views], how: Preprocessing, turns: Sequence[int | None] | None = None
) -> Scores:
    """What a classifier says of each face: the mean over its views, or what it says of one of them.

    Args:
        faces: their views, as :func:`views_of` makes them.
        turns: for each face how often it was scored before, so that a face in a video shows its views by turns;
            None, for a face or for all of them, takes the mean.

    Returns:
        Scores of the N faces; the maps as they lie on the first views.
    """
    asked = [None] * len(faces) if turns is None else turns
    rows = [
        (face, view)
        for face, (views, turn) in enumerate(zip(faces, asked, strict=True))
        for view in range(len(views))
        if turn is None or view == turn % len(views)
    ]
    if not rows:
        return classifier.score(np.empty((0, how.size, how.size, 3), np.uint8))
    scores = classifier.score(np.stack([faces[face][view] for face, view in rows]))
    logits = np.zeros(len(faces), np.float32)
    maps = np.zeros((len(faces), *scores.maps.shape[1:]), np.float32)
    counts = np.bincount([face for face, _ in rows]).astype(np.float32)
    for (face, view), logit, evidence in zip(rows, scores.logits, scores.maps, strict=True):
        logits[face] += logit / counts[face]
        maps[face] += (evidence if view == 0 else _on_the_first(evidence, how)) / counts[face]
    return Scores(logits, maps)


def _on_the_first(evidence: npt.NDArray[np.float32], how: Preprocessing) -> npt.NDArray[np.float32]:
    """The map of a second view turned back, and scaled about the middle to where it lies on the first view."""
    assert how.second_scale is not None
    height, width = evidence.shape
    ratio = how.second_scale / how.crop_scale
    x, y = (width - 1) / 2, (height - 1) / 2
    onto = np.asarray([[ratio, 0, x - ratio * x], [0, ratio, y - ratio * y]])
    turned = np.ascontiguousarray(evidence[:, ::-1])
    return np.asarray(cv2.warpAffine(turned, onto, (width, height), flags=cv2.INTER_LINEAR), np.float32)
