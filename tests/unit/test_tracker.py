"""Faces keep their ids while they are there, and nobody else ever gets them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.records import Detection
from app.vision.tracker import Tracker

MakeFace = Callable[..., Detection]
JITTER = st.floats(-8, 8)


@st.composite
def walks(draw: st.DrawFn) -> list[tuple[list[tuple[float, float]], list[int]]]:
    """Frames of up to three faces in lanes 200 px apart that jitter and drift, each with an order of detection."""
    count = draw(st.integers(1, 3))
    drift = draw(st.lists(st.floats(-6, 6), min_size=count, max_size=count))
    frames = []
    for n in range(draw(st.integers(2, 12))):
        places = [(60 + 200 * lane + draw(JITTER), 300 + drift[lane] * n + draw(JITTER)) for lane in range(count)]
        frames.append((places, draw(st.permutations(range(count)))))
    return frames


@given(walks())
def test_ids_do_not_depend_on_the_order_of_detection(
    make_face: MakeFace, frames: list[tuple[list[tuple[float, float]], list[int]]]
) -> None:
    tracker = Tracker()
    of_lane: dict[int, int] = {}
    for n, (places, order) in enumerate(frames):
        ids = tracker.update([make_face(*places[lane]) for lane in order], n / 25)
        assert len(set(ids)) == len(ids)
        for lane, id_ in zip(order, ids, strict=True):
            assert of_lane.setdefault(lane, id_) == id_
    assert sorted(of_lane.values()) == list(range(1, len(of_lane) + 1))


@given(st.lists(st.lists(st.tuples(st.floats(0, 600), st.floats(0, 400)), max_size=4), min_size=2, max_size=10))
def test_an_interrupted_tracker_goes_on_the_same(make_face: MakeFace, frames: list[list[tuple[float, float]]]) -> None:
    whole = Tracker()
    for n, places in enumerate(frames):
        interrupted = Tracker()
        interrupted.restore(json.loads(json.dumps(whole.state())))
        faces = [make_face(x, y) for x, y in places]
        assert interrupted.update(faces, n / 10) == whole.update(faces, n / 10)
        assert interrupted.state() == whole.state()


@given(st.lists(st.lists(st.integers(0, 9), max_size=3, unique=True), min_size=1, max_size=20), st.data())
def test_an_id_is_never_used_again(make_face: MakeFace, frames: list[list[int]], data: st.DataObject) -> None:
    """Whatever comes, goes or is cut: an id that was absent for longer than the gap never returns."""
    tracker, last_seen, time_s = Tracker(max_gap_s=1.0), dict[int, float](), 0.0
    for places in frames:
        time_s += data.draw(st.sampled_from([0.1, 0.9, 1.5]))
        cut = data.draw(st.booleans())
        ids = tracker.update([make_face(200 * p, 50) for p in places], time_s, cut=cut)
        for id_ in ids:
            if id_ in last_seen:
                assert not cut
                assert time_s - last_seen[id_] <= 1.0 + 1e-9
            else:
                assert id_ > max(last_seen, default=0)
        last_seen |= dict.fromkeys(sorted(ids), time_s)


@pytest.mark.parametrize(("gap_s", "same"), [(0.9, True), (1.1, False)])
def test_a_face_may_be_away_for_a_while(make_face: MakeFace, gap_s: float, same: bool) -> None:
    tracker = Tracker(max_gap_s=1.0)
    assert tracker.update([make_face()], 0.0) == [1]
    assert tracker.update([], gap_s / 2) == []
    assert tracker.update([make_face()], gap_s) == ([1] if same else [2])


def test_after_a_cut_everybody_is_new(make_face: MakeFace) -> None:
    tracker = Tracker()
    faces = [make_face(50), make_face(300)]
    assert tracker.update(faces, 0.0) == [1, 2]
    assert tracker.update(faces, 0.04, cut=True) == [3, 4]
    assert tracker.update(faces, 0.08) == [3, 4]


def test_a_moving_face_is_expected_where_it_goes(make_face: MakeFace) -> None:
    """Missed for one frame, it is its own width from where it was: too far without prediction."""
    tracker = Tracker()
    for n in range(4):
        assert tracker.update([make_face(40 * n, 80)], n / 10) == [1]
    assert tracker.update([], 0.4) == []
    assert tracker.update([make_face(40 * 5, 80)], 0.5) == [1]


def test_another_size_at_the_same_place_is_another_face(make_face: MakeFace) -> None:
    tracker = Tracker()
    assert tracker.update([make_face(100, 100, 100)], 0.0) == [1]
    assert tracker.update([make_face(130, 130, 40)], 0.04) == [2]


def test_the_best_fit_wins_whoever_is_asked_first(make_face: MakeFace) -> None:
    """The first detection overlaps both faces, but fits the second far better."""
    tracker = Tracker()
    assert tracker.update([make_face(0), make_face(60)], 0.0) == [1, 2]
    assert tracker.update([make_face(45), make_face(5)], 0.04) == [2, 1]
