"""The inputs by number: first those made to hurt, then mutations, each decided by its number alone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import bombs, seeds

SHORT_CLIPS = ("h264.mp4", "h264.ts", "mjpeg.avi", "vp8.webm", "gif.gif")
"""What is quickly made, for the short run."""


@dataclass(frozen=True)
class Case:
    """One input: ``verb`` and the file's name and content."""

    seed: int
    verb: str
    name: str
    data: bytes


class Cases:
    """The inputs of a run.

    Args:
        folder: for the clips that ffmpeg makes; made once, found again later.
        short: fewer of them, for ``make test``.
    """

    def __init__(self, folder: Path, *, short: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "clips").mkdir(exist_ok=True)
        (folder / "bombs").mkdir(exist_ok=True)
        seeds.make_clips(folder / "clips", SHORT_CLIPS if short else tuple(seeds.CLIPS))
        bombs.make_videos(folder / "bombs", all_of_them=not short)
        clips = {path.name: path.read_bytes() for path in sorted((folder / "clips").iterdir())}
        hurting = {path.name: path.read_bytes() for path in sorted((folder / "bombs").iterdir())}
        pictures = seeds.make_pictures()
        self._bases = {"scan": list(clips.items()), "image": list(pictures.items())}
        self.made = [("image", *item) for item in bombs.pictures(pictures).items()]
        self.made += [("scan", *item) for item in (hurting | bombs.videos(clips)).items()]

    def case(self, seed: int) -> Case:
        """The input of this number."""
        if seed < len(self.made):
            return Case(seed, *self.made[seed])
        rng = random.Random(seed)
        verb = rng.choice(("scan", "image"))
        bases = self._bases[verb]
        name, data = rng.choice(bases)
        changed = bytearray(data)
        said = [mutate(rng, changed, rng.choice(bases)[1]) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        stem, suffix = name.rsplit(".", 1)
        return Case(seed, verb, f"{stem}-{'-'.join(said)}.{suffix}", bytes(changed))


def mutate(rng: random.Random, data: bytearray, other: bytes) -> str:
    """Change ``data`` in one of many ways and say in which."""
    how = rng.choice(("bits", "bits", "bytes", "header", "header", "number", "cut", "hole", "zeros", "twice", "splice"))
    size = len(data)
    if size < 8:
        return "short"
    at = rng.randrange(size)
    length = rng.randint(1, max(1, min(size // 4, 4000)))
    if how == "bits":
        for _ in range(rng.choice((1, 2, 8, 64))):
            data[rng.randrange(size)] ^= 1 << rng.randrange(8)
    elif how == "bytes":
        for _ in range(rng.choice((1, 4, 32))):
            data[rng.randrange(size)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
    elif how == "header":
        for _ in range(rng.choice((1, 2, 4))):
            data[rng.randrange(min(size, 400))] = rng.randrange(256)
    elif how == "number":
        # Sizes and counts stand in two or four bytes, of either order, mostly near an end of the file.
        place = rng.choice((rng.randrange(min(size, 600)), size - 1 - rng.randrange(min(size, 1500))))
        value = rng.choice((0, 1, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
        width = 4 if value > 0xFFFF else rng.choice((2, 4))
        place = min(place, size - width)
        data[place : place + width] = value.to_bytes(width, rng.choice(("little", "big")))
    elif how == "cut":
        del data[max(1, at) :]
    elif how == "hole":
        del data[at : at + length]
    elif how == "zeros":
        data[at : at + length] = bytes(len(data[at : at + length]))
    elif how == "twice":
        data[at:at] = data[at : at + length] * rng.choice((1, 1, 50))
    else:
        start = rng.randrange(max(1, len(other) - 1))
        data[at : at + length] = other[start : start + length]
    return how
