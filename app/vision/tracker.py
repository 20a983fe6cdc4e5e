"""Stable track ids: detections of one frame are matched to the faces that were there before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.core.records import Box, Detection


@dataclass(slots=True)
class _Active:
    id: int
    box: tuple[float, float, float, float]
    seen_s: float
    velocity: tuple[float, float] = (0.0, 0.0)

    def predicted(self, time_s: float) -> Box:
        """Where the face should be now, if it moves on; at most half its size away from where it was."""
        dt = time_s - self.seen_s
        box = Box(*self.box)
        reach = box.size / 2
        dx, dy = (max(-reach, min(reach, v * dt)) for v in self.velocity)
        return Box(box.x0 + dx, box.y0 + dy, box.x1 + dx, box.y1 + dy)


class Tracker:
    """Greedy matching by overlap, then by nearness, against positions predicted from constant velocity.

    Faces are few and slow beside the frame rate; measured ambiguity is rare enough that the cheapest pairs first
    is as good as the optimal assignment.

    Args:
        max_gap_s: a face unseen for longer gets a new id.
    """

    def __init__(self, max_gap_s: float = 1.0) -> None:
        self._max_gap_s = max_gap_s
        self._active: list[_Active] = []
        self._next_id = 1

    def update(self, detections: Sequence[Detection], time_s: float, *, cut: bool = False) -> list[int]:
        """Ids of ``detections``, in their order.

        Args:
            time_s: of this frame, not before that of the last.
            cut: the scene changed: whoever is here now is nobody who was here before.
        """
        self._active = [] if cut else [t for t in self._active if time_s - t.seen_s <= self._max_gap_s]
        predicted = [t.predicted(time_s) for t in self._active]
        pairs = sorted(
            (cost, d, t)
            for d, detection in enumerate(detections)
            for t, box in enumerate(predicted)
            if (cost := _cost(detection.box, box)) is not None
        )
        ids = [0] * len(detections)
        taken: set[int] = set()
        for _, d, t in pairs:
            if ids[d] or t in taken:
                continue
            taken.add(t)
            ids[d] = self._active[t].id
            self._move(self._active[t], detections[d].box, time_s)
        for d, detection in enumerate(detections):
            if not ids[d]:
                ids[d] = self._next_id
                self._next_id += 1
                self._active.append(_Active(ids[d], detection.box.xyxy, time_s))
        return ids

    @staticmethod
    def _move(track: _Active, box: Box, time_s: float) -> None:
        dt = time_s - track.seen_s
        if dt > 0:
            (x0, y0), (x1, y1) = Box(*track.box).centre, box.centre
            new = ((x1 - x0) / dt, (y1 - y0) / dt)
            # Half old, half new: detectors jitter by a few pixels a frame.
            track.velocity = ((track.velocity[0] + new[0]) / 2, (track.velocity[1] + new[1]) / 2)
        track.box = box.xyxy
        track.seen_s = time_s

    def state(self) -> dict[str, Any]:
        """All there is to know, as JSON; see :meth:`restore`."""
        return {"next_id": self._next_id, "active": [asdict(t) for t in self._active]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state`."""
        self._next_id = int(state["next_id"])
        self._active = [_Active(t["id"], tuple(t["box"]), t["seen_s"], tuple(t["velocity"])) for t in state["active"]]


def _cost(seen: Box, expected: Box) -> float | None:
    """How badly two boxes fit, in [0, 2]; None where they cannot be the same face."""
    overlap = seen.iou(expected)
    if overlap >= 0.2:
        return 1 - overlap
    ratio = seen.size / expected.size
    (x0, y0), (x1, y1) = seen.centre, expected.centre
    distance = math.hypot(x1 - x0, y1 - y0) / max(seen.size, expected.size)
    if 0.6 <= ratio <= 1.67 and distance < 0.75:
        return 1 + distance
    return None
