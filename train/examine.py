"""Look at pictures and videos once: find the face, measure, hash. Many at a time, and remembered on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import cv2
import numpy as np

from app.core.crops import square_around
from app.core.errors import UnmaskError
from app.core.records import Box, Detection, Frame, ImageU8
from train.datasets import Facts, Sample, relative
from train.facts import HASH_BITS, Hash, facts_of, hashes_of
from train.layouts import VIDEO_SUFFIXES

# Stands in the first line of what is remembered; raise it when what is measured changes.
VERSION = 1
# Of the region kept of a video's frame, over the longer side of the face: more than any crop shows.
REGION_SCALE = 3.0


class Detector(Protocol):
    """The part of :class:`app.vision.detector.FaceDetector` that is used here."""

    def detect(self, image: ImageU8) -> list[Detection]: ...

    def close(self) -> None: ...


class Video(Protocol):
    """The part of :class:`app.vision.sources.FrameSource` that is used here."""

    frame_count: int | None

    def read(self) -> Frame | None: ...

    def skip(self, count: int) -> int: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What reads and detects, and how.

    Attributes:
        make_detector: called on each thread that looks at pictures.
        open_video: None where videos are not taken.
        identity: of the detector; what another one found is not believed.
        frames: taken evenly from each video.
        workers: threads.
    """

    make_detector: Callable[[], Detector]
    open_video: Callable[[Path], Video] | None = None
    identity: str = ""
    frames: int = 8
    workers: int = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Face:
    """The largest face of a picture or of a video's frame; ``file`` is the frame's, below the folder, else ""."""

    detection: Detection
    facts: Facts
    hashes: Hash
    file: str = ""

    def to_json(self) -> dict[str, Any]:
        face = self.detection
        return {
            "file": self.file,
            "box": face.box.xyxy,
            "confidence": face.confidence,
            "keypoints": face.keypoints,
            "facts": asdict(self.facts),
            "hashes": self.hashes.tobytes().hex(),
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        points = tuple((float(x), float(y)) for x, y in row["keypoints"])
        hashes = np.frombuffer(bytes.fromhex(row["hashes"]), np.uint64).reshape(2, HASH_BITS // 64)
        return cls(Detection(Box(*row["box"]), row["confidence"], points), Facts(**row["facts"]), hashes, row["file"])


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of one file: its faces, or in ``why`` the reason why there are none."""

    faces: tuple[Face, ...] = ()
    why: str = ""


def examine(
    samples: Sequence[Sample], folder: Path, tools: Tools, progress: Callable[[Iterable[int], int], Iterable[int]]
) -> tuple[list[Sample], Hash, list[tuple[Sample, str]]]:
    """Find the face of each sample, of videos in some frames.

    What was seen is remembered in ``folder/examined.jsonl``: after an interruption, and when pictures are added,
    only new and changed files are looked at.

    Args:
        folder: exists; frames of videos are kept in ``folder/frames``.
        progress: wraps an iterator, given its length, to show how far it is.

    Returns:
        The samples with box, keypoints and facts, a video's as one for each frame with a face; their hashes,
        uint64 (N, 2, HASH_BITS / 64); and the samples left out with the reason in words.
    """
    memory = Memory(folder, tools)
    try:
        looks: list[Look | None] = [memory.recall(s.path) for s in samples]
        todo = [i for i, look in enumerate(looks) if look is None]
        if todo:

            def look_at(i: int, detector: Detector) -> Look:
                path = samples[i].path
                if path.suffix.lower() in VIDEO_SUFFIXES:
                    return look_at_video(path, folder, tools, detector)
                return look_at_picture(path, detector)

            with contextlib.closing(_in_threads(todo, look_at, tools)) as results:

                def finished() -> Iterator[int]:
                    for i, look in results:
                        looks[i] = look
                        memory.keep(samples[i].path, look)
                        yield i

                for _ in progress(finished(), len(todo)):
                    pass
    finally:
        memory.close()
    found: list[Sample] = []
    hashes: list[Hash] = []
    left_out: list[tuple[Sample, str]] = []
    for sample, look in zip(samples, looks, strict=True):
        assert look is not None
        if look.why:
            left_out.append((sample, look.why))
        for face in look.faces:
            path = folder / face.file if face.file else sample.path
            box, keypoints = face.detection.box, face.detection.keypoints
            found.append(replace(sample, path=path, box=box, keypoints=keypoints, facts=face.facts))
            hashes.append(face.hashes)
    return found, np.array(hashes, np.uint64).reshape(len(found), 2, HASH_BITS // 64), left_out


def look_at_picture(path: Path, detector: Detector) -> Look:
    """The largest face of a picture; nothing is raised for one that cannot be read."""
    try:
        data = path.read_bytes()
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except OSError as error:
        return Look(why=f"cannot be read ({error.strerror})")
    except cv2.error:
        image = None
    if image is None:
        return Look(why="unreadable" if data else "empty file")
    picture = np.asarray(image, np.uint8)
    faces = detector.detect(picture)
    if not faces:
        return Look(why="no face found")
    return Look((Face(faces[0], facts_of(data, picture, faces[0]), hashes_of(picture, faces[0])),))


def look_at_video(path: Path, folder: Path, tools: Tools, detector: Detector) -> Look:
    """The largest face in each of ``tools.frames`` frames, taken evenly; the region around it is kept as PNG."""
    assert tools.open_video is not None
    faces: list[Face] = []
    try:
        video = tools.open_video(path)
        try:
            if video.frame_count is None:
                count = video.skip(10**9)
                video.close()
                video = tools.open_video(path)
            else:
                count = video.frame_count
            name = f"{path.stem}-{_name_hash(path)}"
            at = 0
            for index in sorted({int((i + 0.5) * count / tools.frames) for i in range(tools.frames)}):
                at += video.skip(index - at)
                frame = video.read()
                if frame is None:
                    break
                at += 1
                found = detector.detect(frame.image)
                if found:
                    size = path.stat().st_size // max(1, count)
                    faces.append(_kept_frame(frame.image, found[0], folder, f"frames/{name}/{index:06d}.png", size))
        finally:
            video.close()
    except UnmaskError as error:
        return Look(why=str(error).removeprefix(f"{path}: "))
    except OSError as error:
        return Look(why=f"cannot be read ({error.strerror})")
    faces = [replace(f, facts=replace(f.facts, video=name, format=path.suffix[1:].lower())) for f in faces]
    return Look(tuple(faces), "" if faces else "no face found")


def _kept_frame(image: ImageU8, face: Detection, folder: Path, file: str, size: int) -> Face:
    """Write the region around a face and describe it; what the frame had before is what its facts tell."""
    left, top, side = square_around(face.box, REGION_SCALE)
    # Even offsets: the crop rounds half to even, so an odd one could shift the crop by a pixel.
    x, y = max(0, left) // 2 * 2, max(0, top) // 2 * 2
    region = np.ascontiguousarray(image[y : max(0, top + side), x : max(0, left + side)])
    shifted = Detection(
        Box(face.box.x0 - x, face.box.y0 - y, face.box.x1 - x, face.box.y1 - y).rounded(),
        face.confidence,
        tuple((round(px - x, 2), round(py - y, 2)) for px, py in face.keypoints),
    )
    coded = cv2.imencode(".png", region)[1].tobytes()
    target = folder / file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(coded)
    facts = facts_of(coded, region, shifted)
    facts = replace(facts, width=image.shape[1], height=image.shape[0], bytes=size)
    return Face(shifted, facts, hashes_of(region, shifted), file)


def _name_hash(path: Path) -> str:
    """Tells videos of one name in several folders apart."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:8]


class Memory:
    """What was seen of each file, a line of JSON each, appended as it is found.

    A line that a kill cut off is dropped. Files are known again by path, size and time of change.
    """

    def __init__(self, folder: Path, tools: Tools) -> None:
        self._folder = folder
        self._frames = tools.frames
        self._looks: dict[str, tuple[list[int], Look]] = {}
        path = folder / "examined.jsonl"
        head = {"version": VERSION, "detector": tools.identity}
        whole = self._read(path, head) if path.is_file() else 0
        self._file = path.open("r+b" if whole else "wb")
        self._file.truncate(whole)
        self._file.seek(whole)
        if not whole:
            self._write(head)

    def _read(self, path: Path, head: dict[str, Any]) -> int:
        """Take in what is there; returns the length of the part that is whole, 0 if it is another program's."""
        length = 0
        with path.open("rb") as file:
            for line in file:
                try:
                    row = json.loads(line)
                    if length == 0 and row != head:
                        return 0
                    if length:
                        look = Look(tuple(map(Face.from_json, row["faces"])), row["why"])
                        self._looks[row["path"]] = (row["stamp"], look)
                except (ValueError, KeyError, TypeError):
                    return length
                if not line.endswith(b"\n"):
                    return length
                length += len(line)
        return length

    def recall(self, path: Path) -> Look | None:
        stamp, look = self._looks.get(relative(path, self._folder), ([], None))
        if look is None or stamp != self._stamp(path):
            return None
        return look if all((self._folder / f.file).is_file() for f in look.faces if f.file) else None

    def keep(self, path: Path, look: Look) -> None:
        faces = [face.to_json() for face in look.faces]
        self._write({"path": relative(path, self._folder), "stamp": self._stamp(path), "faces": faces, "why": look.why})

    def close(self) -> None:
        self._file.close()

    def _stamp(self, path: Path) -> list[int]:
        try:
            status = path.stat()
        except OSError:
            return []
        frames = self._frames if path.suffix.lower() in VIDEO_SUFFIXES else 0
        return [status.st_size, status.st_mtime_ns, frames]

    def _write(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")
        self._file.flush()


def _in_threads(
    items: Sequence[int], work: Callable[[int, Detector], Look], tools: Tools
) -> Generator[tuple[int, Look]]:
    """Do ``work`` on each item in ``tools.workers`` threads, each with a detector of its own, as they finish.

    What a thread raises is raised here. Abandoning the iterator stops the threads after the item they are at.
    """
    results: queue.SimpleQueue[tuple[int, Look] | BaseException] = queue.SimpleQueue()
    waiting = iter(items)
    # Making a detector silences the process's stderr for a moment: one at a time.
    lock = threading.Lock()
    stop = threading.Event()

    def worker() -> None:
        try:
            with lock:
                detector = tools.make_detector()
            try:
                while not stop.is_set():
                    with lock:
                        item = next(waiting, None)
                    if item is None:
                        break
                    results.put((item, work(item, detector)))
            finally:
                with lock:
                    detector.close()
        except BaseException as error:
            results.put(error)

    threads = [threading.Thread(target=worker, daemon=True) for _ in range(max(1, min(tools.workers, len(items))))]
    for thread in threads:
        thread.start()
    try:
        for _ in items:
            result = results.get()
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        stop.set()
        for thread in threads:
            thread.join()
