"""Near-duplicates: the same photograph, or a mirrored, recompressed, recoloured or differently cut copy of it.

A picture that is in two splits makes the measured quality too good. Hashes find candidates among all pairs in
numpy blocks (about 100 seconds of processor time for 140,000 pictures); each candidate is then confirmed on the pixels,
because faces that are aligned alike, such as a generator's, have similar hashes.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from app.core.crops import crop_face
from app.core.files import whole_file
from app.core.records import ImageU8
from train.datasets import SPLITS, Sample, relative
from train.facts import CROP_SCALE, Hash, mirrored
from train.pipeline import read_picture

# Looked at on 6,623 faces of 27 sources. Of the pairs within 60 bits of 256, those that correlate by 0.91 or more are
# all the same photograph or the same generated face; the next (0.87) are different people. The 23 such pairs within
# 72 bits differ in at most 12 of the first 64 bits, and all but two of them in at most 55 bits.
NEAR_BITS = 56
NEAR_BITS_FIRST = 12
LEAST_CORRELATION = 0.9
_SIDE = 128


@dataclass(frozen=True, slots=True)
class Pair:
    """Two samples, by their index, that show the same; ``correlation`` is that of their details, [0, 1]."""

    first: int
    second: int
    correlation: float
    mirrored: bool


@dataclass(frozen=True, slots=True)
class _Candidate:
    first: int
    second: int
    face: bool
    mirrored: bool


def find_pairs(
    samples: Sequence[Sample],
    hashes: Hash,
    progress: Callable[[Iterable[Pair | None], int], Iterable[Pair | None]],
    least: float = LEAST_CORRELATION,
    workers: int = 2,
) -> list[Pair]:
    """Pairs of near-duplicates; the frames of one video are not compared with each other.

    Args:
        hashes: uint64 (N, 2, words) of :func:`train.facts.hashes_of`.
        progress: wraps an iterator, given its length, to show how far it is.
        least: correlation from which on two pictures are the same.

    Returns:
        Each pair once, its smaller index first, in order.
    """
    candidates = [c for c in _candidates(hashes, workers) if not _same_video(samples[c.first], samples[c.second])]
    best: dict[tuple[int, int], Pair] = {}
    with ThreadPoolExecutor(workers) as pool:
        # In windows: an interruption then waits for few.
        def confirmed() -> Iterator[Pair | None]:
            for start in range(0, len(candidates), 256):
                yield from pool.map(lambda c: _confirmed(samples, c, least), candidates[start : start + 256])

        for pair in progress(confirmed(), len(candidates)):
            if pair is not None:
                known = best.get((pair.first, pair.second))
                if known is None or known.correlation < pair.correlation:
                    best[pair.first, pair.second] = pair
    return [best[key] for key in sorted(best)]


def grouped(samples: Sequence[Sample], pairs: Sequence[Pair]) -> list[Sample]:
    """The samples with ``facts.group`` set where they belong to a group of near-duplicates."""
    sets = _Sets(len(samples))
    for pair in pairs:
        sets.join(pair.first, pair.second)
    members: dict[int, list[int]] = {}
    for i in sorted({k for pair in pairs for k in (pair.first, pair.second)}):
        members.setdefault(sets.root(i), []).append(i)
    result = list(samples)
    for number, indices in enumerate(members.values(), 1):
        for i in indices:
            facts = samples[i].facts
            assert facts is not None
            result[i] = replace(samples[i], facts=replace(facts, group=f"g{number:05d}"))
    return result


def moved(samples: Sequence[Sample]) -> tuple[list[Sample], int]:
    """Put all of a group into one split: the first of train, valid and test that has a picture of it.

    A video goes as a whole with its frames.

    Returns:
        The samples, and how many changed their split.
    """
    sets = _Sets(len(samples))
    first: dict[tuple[str, str], int] = {}
    for i, sample in enumerate(samples):
        assert sample.facts is not None
        for key in (("group", sample.facts.group), ("video", sample.facts.video)):
            if key[1]:
                sets.join(first.setdefault(key, i), i)
    goal: dict[int, int] = {}
    for i, sample in enumerate(samples):
        root = sets.root(i)
        goal[root] = min(goal.get(root, len(SPLITS)), SPLITS.index(sample.split))
    result = [replace(s, split=SPLITS[goal[sets.root(i)]]) for i, s in enumerate(samples)]
    return result, sum(a.split != b.split for a, b in zip(samples, result, strict=True))


def write_pairs(path: Path, samples: Sequence[Sample], pairs: Sequence[Pair], root: Path) -> None:
    """Write pairs as CSV, those across splits first, paths relative to ``root``."""
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = ("path", "split", "label", "source")
        writer.writerow([*(f"{n}_{i}" for i in (1, 2) for n in names), "correlation", "mirrored"])
        for pair in sorted(pairs, key=lambda p: samples[p.first].split == samples[p.second].split):
            for_both = ((relative(s.path, root), s.split, s.label, s.source) for s in _both(samples, pair))
            writer.writerow([*(v for s in for_both for v in s), f"{pair.correlation:.3f}", int(pair.mirrored)])


def side_by_side(samples: Sequence[Sample], pair: Pair, side: int = 224) -> ImageU8:
    """Both faces of a pair for a person to look at: uint8 BGR (side, 2 * side, 3)."""
    views = []
    for sample in _both(samples, pair):
        assert sample.box is not None
        views.append(crop_face(read_picture(sample), sample.box, side, CROP_SCALE)[..., ::-1])
    return np.ascontiguousarray(np.hstack(views), np.uint8)


def _both(samples: Sequence[Sample], pair: Pair) -> tuple[Sample, Sample]:
    return samples[pair.first], samples[pair.second]


def _same_video(a: Sample, b: Sample) -> bool:
    return a.facts is not None and b.facts is not None and a.facts.video != "" and a.facts.video == b.facts.video


def _candidates(hashes: Hash, workers: int) -> list[_Candidate]:
    """All pairs whose hashes are near: of the pictures or of the faces, as they are or mirrored."""
    rows = 128
    jobs = [
        (kind, mirror, start) for kind in (0, 1) for mirror in (False, True) for start in range(0, len(hashes), rows)
    ]
    turned = mirrored(hashes)

    def near(job: tuple[int, bool, int]) -> list[_Candidate]:
        kind, mirror, start = job
        block = (turned if mirror else hashes)[start : start + rows, kind]
        return [_Candidate(start + i, j, bool(kind), mirror) for i, j in _near(block, hashes[:, kind], start)]

    with ThreadPoolExecutor(workers) as pool:
        return [candidate for found in pool.map(near, jobs) for candidate in found]


def _near(block: Hash, others: Hash, start: int, columns: int = 4096) -> Iterator[tuple[int, int]]:
    """(row of ``block``, row of ``others``) of near hashes, the latter beyond the row's own place ``start`` + row.

    The 64 lowest frequencies are compared first: few pairs are left for the rest, and they are the steadiest bits.
    """
    for left in range(start, len(others), columns):
        part = others[left : left + columns]
        first = np.bitwise_count(block[:, None, 0] ^ part[None, :, 0]) <= NEAR_BITS_FIRST
        i, j = np.nonzero(first)
        later = j + left > i + start
        i, j = i[later], j[later]
        close = np.bitwise_count(block[i] ^ part[j]).sum(axis=1) <= NEAR_BITS
        yield from zip(i[close].tolist(), (j[close] + left).tolist(), strict=True)


def _confirmed(samples: Sequence[Sample], candidate: _Candidate, least: float) -> Pair | None:
    a, b = (_details(samples[i], candidate.face) for i in (candidate.first, candidate.second))
    if candidate.mirrored:
        b = np.ascontiguousarray(b[:, ::-1])
    correlation = _correlation(a, b)
    if correlation < least:
        return None
    return Pair(candidate.first, candidate.second, round(correlation, 3), candidate.mirrored)


def _details(sample: Sample, face: bool) -> npt.NDArray[np.float32]:
    """The grey picture or face in a band of frequencies: float32 (_SIDE, _SIDE).

    Without the slow changes of brightness, in which many faces agree, and the finest detail, which a shift by half a
    pixel turns over.
    """
    assert sample.box is not None
    image = read_picture(sample)
    if face:
        grey = cv2.cvtColor(crop_face(image, sample.box, _SIDE, CROP_SCALE), cv2.COLOR_RGB2GRAY)
    else:
        grey = cv2.cvtColor(cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    values = grey.astype(np.float32)
    return np.asarray(cv2.GaussianBlur(values, (0, 0), 1) - cv2.GaussianBlur(values, (0, 0), 4), np.float32)


def _correlation(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """The best correlation of the middle of ``a`` with a place in ``b``, [-1, 1], over slightly different scales.

    The detector's boxes of two copies differ by some pixels and per cent.
    """
    best = -1.0
    inner = 92
    for scale in (0.94, 0.97, 1.0, 1.03, 1.06):
        scaled = cv2.resize(a, None, fx=scale, fy=scale)
        edge = (scaled.shape[0] - inner) // 2
        middle = scaled[edge : edge + inner, edge : edge + inner]
        best = max(best, float(cv2.matchTemplate(b, middle, cv2.TM_CCOEFF_NORMED).max()))
    return best


class _Sets:
    """Disjoint sets (union-find with path halving)."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def root(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def join(self, i: int, j: int) -> None:
        a, b = sorted((self.root(i), self.root(j)))
        self._parent[b] = a
