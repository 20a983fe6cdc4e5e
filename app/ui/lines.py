"""Timelines as they are drawn, and the moments at which they turn suspicious."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from app.pipeline.records import TimelinePoint

GAP_S = 1.0
"""A line is broken where its face was away for longer than this, and than thinning explains."""
THINNED = 4
"""Points of a thinned line lie apart by its usual step; only a gap of more such steps is one."""

Floats = npt.NDArray[np.float64]
Timelines = Mapping[int, Sequence[TimelinePoint]]


def drawn(points: Sequence[TimelinePoint]) -> tuple[Floats, Floats]:
    """Times and probabilities of a face, with a NaN wherever it was away."""
    times = np.asarray([p.time_s for p in points], np.float64)
    values = np.asarray([p.p_fake for p in points], np.float64)
    steps = np.diff(times)
    gap = max(GAP_S, THINNED * float(np.median(steps))) if len(steps) else GAP_S
    breaks = np.flatnonzero(steps > gap) + 1
    return np.insert(times, breaks, np.nan), np.insert(values, breaks, np.nan)


def suspicious_moments(lines: Timelines, threshold: float) -> list[float]:
    """When a face's probability rose to the threshold of AI-GENERATED, in order of time; models may disagree there."""
    starts: list[float] = []
    for points in lines.values():
        times, values = drawn(points)
        high = np.concatenate(([False], np.nan_to_num(values) >= threshold))
        starts += times[np.flatnonzero(high[1:] & ~high[:-1])].tolist()
    return sorted(starts)
