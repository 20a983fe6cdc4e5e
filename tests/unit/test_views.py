"""Views of a face: what the second one shows, whose turn it is, and that maps come back to where they belong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from app.core.cards import ModelCard, Preprocessing
from app.core.crops import crop_face
from app.core.records import Box, Detection, Frame, ImageU8
from app.models.runtimes import FakeClassifier, Scores
from app.models.views import score_views, views_of
from app.vision.analyzer import AnalyzerOptions, FrameAnalyzer
from app.vision.detector import FakeDetector
from tests.ensembles import together

ONE = Preprocessing(size=64, crop_scale=1.5)
TWO = Preprocessing(size=64, crop_scale=1.5, second_scale=1.2)
BOX = Box(100, 80, 180, 160)


class LeftIsBlue(FakeClassifier):
    """Logit 1 where a crop's left half is blue, -1 else; its map marks one place, left of the middle."""

    def __init__(self) -> None:
        super().__init__(lambda crop: 1.0 if crop[:, : crop.shape[1] // 2, 2].mean() > 128 else -1.0, 64)

    def score(self, crops: ImageU8) -> Scores:
        scores = super().score(crops)
        maps = np.zeros((len(crops), 7, 7), np.float32)
        maps[:, 3, 2] = 1.0
        return Scores(scores.logits, maps)


@pytest.fixture
def half_blue() -> ImageU8:
    """BGR, blue left of the middle of BOX."""
    image = np.zeros((240, 320, 3), np.uint8)
    image[:, :140, 0] = 255
    return image


def test_one_view_is_the_crop(half_blue: ImageU8) -> None:
    (view,) = views_of(half_blue, BOX, ONE)
    np.testing.assert_array_equal(view, crop_face(half_blue, BOX, 64, 1.5))


def test_the_second_view_is_mirrored_at_its_own_scale(half_blue: ImageU8) -> None:
    first, second = views_of(half_blue, BOX, TWO)
    np.testing.assert_array_equal(first, crop_face(half_blue, BOX, 64, 1.5))
    np.testing.assert_array_equal(second, crop_face(half_blue, BOX, 64, 1.2)[:, ::-1])


def test_what_is_not_asked_is_not_cut(half_blue: ImageU8) -> None:
    assert [len(views_of(half_blue, BOX, TWO, turn)) for turn in (None, 0, 1, 2, 3)] == [2, 1, 2, 1, 2]
    classifier = LeftIsBlue()
    faces = [views_of(half_blue, BOX, TWO, turn) for turn in (0, 1, 2)]
    assert score_views(classifier, faces, TWO, [0, 1, 2]).logits.tolist() == [1, -1, 1]


def test_the_mean_of_all_views_or_one_at_its_turn(half_blue: ImageU8) -> None:
    face, classifier = views_of(half_blue, BOX, TWO), LeftIsBlue()
    assert score_views(classifier, [face], TWO).logits.tolist() == [0.0]
    assert score_views(classifier, [face] * 5, TWO, [0, 1, None, 2, 3]).logits.tolist() == [1, -1, 0, 1, -1]
    assert classifier.batches == [2, 6], "each face's views are asked for once, all in one batch"
    assert score_views(classifier, [face[:1]] * 3, ONE, [0, 1, 2]).logits.tolist() == [1, 1, 1]


def test_no_faces_are_no_scores() -> None:
    assert score_views(LeftIsBlue(), [], TWO).logits.shape == (0,)


def test_the_second_map_lies_where_the_first_view_shows_it(half_blue: ImageU8) -> None:
    face = views_of(half_blue, BOX, TWO)
    (alone,) = score_views(LeftIsBlue(), [face], TWO, [0]).maps
    assert np.argwhere(alone).tolist() == [[3, 2]]
    (second,) = score_views(LeftIsBlue(), [face], TWO, [1]).maps
    # One place left of the middle in the mirrored view is 0.8 places right of it in the first.
    rows, columns = np.indices(second.shape)
    assert (rows * second).sum() / second.sum() == pytest.approx(3)
    assert (columns * second).sum() / second.sum() == pytest.approx(3.8, abs=0.25)
    (both,) = score_views(LeftIsBlue(), [face], TWO).maps
    np.testing.assert_allclose(both, (alone + second) / 2)


def test_a_track_shows_its_views_by_turns_and_a_picture_all(
    half_blue: ImageU8, make_card: Callable[..., ModelCard]
) -> None:
    anything = {"min_sharpness": 0.0, "min_brightness": 0.0, "min_size_px": 0.0, "max_yaw": 1.0}
    card = make_card(preprocessing={"crop_scale": 1.5, "second_scale": 1.2}, thresholds=anything)
    detector = FakeDetector(lambda _: [Detection(BOX, 1.0, ())])
    ensemble = together((LeftIsBlue(), card))
    analyzer = FrameAnalyzer(detector, ensemble, AnalyzerOptions(score_interval_s=0))
    logits = [analyzer.analyze(Frame(n, n / 25, half_blue)).faces[0].logit for n in range(4)]
    assert logits == [1, -1, 1, -1]
    at_once = FrameAnalyzer(detector, ensemble, AnalyzerOptions(min_scores=1, all_views=True))
    assert at_once.analyze(Frame(0, 0.0, half_blue)).faces[0].logit == 0
