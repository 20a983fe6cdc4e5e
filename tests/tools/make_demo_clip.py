"""Make the demo clip, app/assets/demo.mp4, and its ground truth, demo.json beside it.

The clip lasts 13 s (1280x720, 25 frames/s, H.264 and AAC, under 1 MB). It shows one real and one generated
face, as prints on a wall filmed by an unsteady hand: the real one alone, both (the second slides in), after a
hard cut the generated one alone, which fades away, then nobody, and after another hard cut both again with
their places swapped. A soft chime sounds on every whole second, a higher one on the two hard cuts, so that an
ear, or a test, hears whether sound and picture are in step.

Where the pictures come from:

* the real face: ``skimage.data.astronaut()``, NASA's portrait of Eileen Collins; public domain.
* the generated face: drawn by MobileStyleGAN as packed in ``random-face`` 2021.7.21.1 (Apache-2.0). Only the
  picture that it draws is kept here, none of the package's files. app/assets/README.md says more.

The package's own loader wants an OpenVINO of 2021, so its two networks are read directly. It is needed for
this script only, so it is put in a folder of its own; from the repository's root, with the ``dev`` extra:

    pip install --no-deps --target build/random-face random-face==2021.7.21.1
    PYTHONPATH=build/random-face python tests/tools/make_demo_clip.py --seed 29 --out app/assets/demo.mp4

The same seed on the same machine gives the same file; another processor may change the last bits of the face.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import re
import subprocess
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import openvino
from skimage import data

Image = npt.NDArray[np.uint8]
Layer = npt.NDArray[np.float32]

WIDTH, HEIGHT, FPS = 1280, 720, 25
MAX_BYTES = 1_000_000
CRF = 22
SAMPLE_RATE = 48_000
# Towards the average face: less variety, fewer artefacts (the package's own default is 0.5).
TRUNCATION = 0.6


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a face is: the centre of its box and the box's side in pixels, and a tilt in degrees."""

    x: float
    y: float
    side: float
    tilt: float

    def towards(self, other: Pose, share: float) -> Pose:
        def mix(a: float, b: float) -> float:
            return a + (b - a) * share

        return Pose(mix(self.x, other.x), mix(self.y, other.y), mix(self.side, other.side), mix(self.tilt, other.tilt))


@dataclass(frozen=True, slots=True)
class Move:
    """What one face does during a span."""

    face: str
    start: Pose
    end: Pose
    fades: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the clip, [start, end) in seconds. Not steady: a face is coming or going."""

    start: float
    end: float
    moves: tuple[Move, ...]
    steady: bool = True
    cut: bool = False


# Face sides keep the astronaut (103 px in the photograph) below 1.6 times its own size.
REAL_LEFT, FAKE_RIGHT = Pose(384, 298, 157, 0.3), Pose(915, 395, 228, -0.6)
FAKE_LATE = Pose(600, 390, 308, -1.0)
TIMELINE = (
    Span(0.0, 3.0, (Move("real", Pose(560, 285, 150, -1.2), Pose(680, 300, 162, 0.8)),)),
    Span(
        3.0,
        3.8,
        (
            Move("real", Pose(680, 300, 162, 0.8), REAL_LEFT),
            Move("fake", Pose(1640, 385, 224, 1.5), FAKE_RIGHT),
        ),
        steady=False,
    ),
    Span(
        3.8,
        7.0,
        (
            Move("real", REAL_LEFT, Pose(404, 306, 163, -0.6)),
            Move("fake", FAKE_RIGHT, Pose(930, 380, 246, 0.8)),
        ),
    ),
    Span(7.0, 9.0, (Move("fake", Pose(660, 405, 272, 1.0), FAKE_LATE),), cut=True),
    Span(9.0, 9.6, (Move("fake", FAKE_LATE, Pose(582, 386, 319, -1.6), fades=True),), steady=False),
    Span(9.6, 11.0, ()),
    Span(
        11.0,
        13.0,
        (
            Move("fake", Pose(350, 395, 250, -0.8), Pose(385, 385, 236, 0.6)),
            Move("real", Pose(912, 306, 152, 0.8), Pose(884, 300, 163, -0.4)),
        ),
        cut=True,
    ),
)
DURATION = TIMELINE[-1].end
FRAMES = round(DURATION * FPS)


@dataclass(frozen=True, slots=True)
class Portrait:
    """A picture ready to be placed: premultiplied BGRA in 0..255, and its face's box in its pixels."""

    layer: Layer
    face_x: float
    face_y: float
    face_side: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=29, help="which generated face (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("app/assets/demo.mp4"), help="default: %(default)s")
    arguments = parser.parse_args()

    photograph: Image = np.ascontiguousarray(data.astronaut()[:, :, ::-1])  # type: ignore[no-untyped-call]
    generated = generate_face(arguments.seed)
    portraits = {"real": real_portrait(photograph), "fake": generated_portrait(generated)}

    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    encode(render(portraits, background(photograph, generated)), arguments.out)
    truth = json.dumps(ground_truth(arguments.seed), indent=1)
    arguments.out.with_suffix(".json").write_text(one_row_per_line(truth) + "\n", encoding="utf-8")

    size = arguments.out.stat().st_size
    print(f"{arguments.out}: {FRAMES} frames, {size / 1000:.0f} kB")
    if size > MAX_BYTES:
        raise SystemExit(f"{arguments.out} is larger than {MAX_BYTES} bytes: raise CRF")


def generate_face(seed: int) -> Image:
    """One 1024x1024 BGR face, as random-face draws it but from a seed."""
    folder = package_folder() / "data"
    core = openvino.Core()
    mapping = core.read_model(folder / "MappingNetwork.xml")
    synthesis = core.compile_model(core.read_model(folder / "SynthesisNetwork.xml"), "CPU")

    # The average style comes from draws of its own, so that it is the same for every seed.
    draws = 1024
    mapping.reshape([draws, 512])
    noise = np.random.default_rng(0).standard_normal((draws, 512)).astype(np.float32)
    average = core.compile_model(mapping, "CPU")({"var": noise})["style"].mean(axis=0, keepdims=True)

    mapping.reshape([1, 512])
    noise = np.random.default_rng(seed).standard_normal((1, 512)).astype(np.float32)
    style = core.compile_model(mapping, "CPU")({"var": noise})["style"]
    picture = synthesis({"style": average + TRUNCATION * (style - average)})["img"][0]
    rgb = np.clip((picture.transpose(1, 2, 0) + 1) * 127.5 + 0.5, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(rgb[:, :, ::-1])


def package_folder() -> Path:
    """Where random-face lies; importing it would fail for want of its old OpenVINO."""
    spec = importlib.util.find_spec("random_face")
    if spec is None or spec.origin is None:
        raise SystemExit("random-face is missing; see the top of this script")
    return Path(spec.origin).parent


def real_portrait(photograph: Image) -> Portrait:
    # Head and shoulders, without the flag, the model rocket and the badges, which would be cut through.
    # The face: as MediaPipe finds it.
    left, top, right, bottom = 97, 0, 352, 337
    return printed(photograph[top:bottom, left:right], 224.5 - left, 118.5 - top, 103)


def generated_portrait(generated: Image) -> Portrait:
    # Every face of this generator lies at the same place (about 670 px around 511, 595 of 1024). It is always
    # shown at less than half its size: halve it properly first, because a warp that shrinks aliases.
    half = cv2.resize(generated, (512, 512), interpolation=cv2.INTER_AREA)
    # The outermost pixels are off: the network pads its layers with zeros.
    trim = 6
    return printed(half[trim:-trim, trim:-trim], 511 / 2 - trim, 595 / 2 - trim, 670 / 2)


def printed(picture: npt.NDArray[Any], face_x: float, face_y: float, face_side: float) -> Portrait:
    """A picture as a paper print: a pale rim and a soft shadow on the wall."""
    rim, margin = round(0.05 * face_side), round(0.45 * face_side)
    edge = rim + margin
    height, width = picture.shape[:2]
    bgr = np.zeros((height + 2 * edge, width + 2 * edge, 3), np.float32)
    bgr[margin:-margin, margin:-margin] = 226, 232, 234
    bgr[edge:-edge, edge:-edge] = picture
    sheet = np.zeros(bgr.shape[:2], np.float32)
    sheet[margin:-margin, margin:-margin] = 1
    # Light falls from the upper left.
    fall = np.roll(sheet, (round(0.08 * face_side), round(0.04 * face_side)), axis=(0, 1))
    shadow = 0.45 * cv2.GaussianBlur(fall, (0, 0), 0.1 * face_side)
    opacity = sheet + shadow * (1 - sheet)
    return Portrait(np.dstack([bgr, opacity]), face_x + edge, face_y + edge, face_side)


def background(photograph: Image, generated: Image) -> Layer:
    """A dim wall with a breath of both pictures' colours."""
    half = (WIDTH // 2, HEIGHT)
    halves = [cv2.resize(p, half, interpolation=cv2.INTER_AREA) for p in (photograph, generated)]
    colours = cv2.GaussianBlur(np.hstack(halves).astype(np.float32), (0, 0), 130)
    light = np.linspace(1.0, 0.62, HEIGHT, dtype=np.float32)[:, None, None]
    wall = np.array([138, 130, 118], np.float32)
    # A fixed dither against banding; it does not change from frame to frame, so it costs next to nothing.
    dither = np.random.default_rng(0).uniform(-0.7, 0.7, (HEIGHT, WIDTH, 1))
    return ((0.15 * colours + 0.85 * wall) * light + dither).astype(np.float32)


def render(portraits: dict[str, Portrait], wall: Layer) -> Iterator[Image]:
    for index in range(FRAMES):
        frame = wall.copy()
        for face, pose, opacity in placements(index / FPS):
            portrait = portraits[face]
            placed = cv2.warpAffine(portrait.layer, transform(portrait, pose), (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC)
            frame = frame * (1 - placed[..., 3:] * opacity) + placed[..., :3] * opacity
        yield np.clip(frame + 0.5, 0, 255).astype(np.uint8)


def placements(time: float) -> list[tuple[str, Pose, float]]:
    """Face, pose and opacity of everything on screen at a time, back to front."""
    span = next(s for s in TIMELINE if s.start <= time + 1e-6 < s.end)
    share = (time - span.start) / (span.end - span.start)
    placed: list[tuple[str, Pose, float]] = []
    for move in span.moves:
        eased = share if span.steady or move.fades else float(smoothstep(share))
        opacity = 1 - float(smoothstep(share)) if move.fades else 1.0
        placed.append((move.face, in_hand(move.start.towards(move.end, eased), time), opacity))
    return placed


def in_hand(pose: Pose, time: float) -> Pose:
    """Add the slow sway of a camera held in the hand."""
    x = pose.x + 4.0 * math.sin(2 * math.pi * 0.31 * time) + 1.2 * math.sin(2 * math.pi * 0.83 * time + 1)
    y = pose.y + 3.0 * math.sin(2 * math.pi * 0.23 * time + 2) + 1.0 * math.sin(2 * math.pi * 0.71 * time)
    return Pose(x, y, pose.side, pose.tilt)


def transform(portrait: Portrait, pose: Pose) -> npt.NDArray[np.float64]:
    matrix = cv2.getRotationMatrix2D((portrait.face_x, portrait.face_y), pose.tilt, pose.side / portrait.face_side)
    shift = np.array([pose.x - portrait.face_x, pose.y - portrait.face_y])
    return np.column_stack([matrix[:, :2], matrix[:, 2] + shift])


def smoothstep(share: npt.ArrayLike) -> npt.NDArray[np.floating[Any]]:
    clipped = np.clip(share, 0, 1)
    return np.asarray(clipped * clipped * (3 - 2 * clipped))


def encode(frames: Iterator[Image], out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "chimes.wav"
        write_chimes(sound)
        command = [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"),
            *("-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(FPS), "-i", "-"),
            *("-i", str(sound), "-map", "0:v", "-map", "1:a"),
            *("-vf", "scale=out_color_matrix=bt709:out_range=tv", "-pix_fmt", "yuv420p"),
            *("-colorspace", "bt709", "-color_primaries", "bt709"),
            *("-color_trc", "bt709", "-color_range", "tv"),
            # The number of threads changes x264's output, so it is fixed.
            *("-c:v", "libx264", "-preset", "veryslow", "-crf", str(CRF), "-threads", "2"),
            # Key frames are a third of the file: one per 4 s still seeks quickly. The wall on both sides of a
            # hard cut is the same, so x264 takes it for no cut and must be told.
            *("-g", str(4 * FPS), "-force_key_frames", ",".join(str(cut) for cut in cut_times())),
            *("-c:a", "aac", "-b:a", "48k"),
            *("-map_metadata", "-1", "-fflags", "+bitexact"),
            *("-flags:v", "+bitexact", "-flags:a", "+bitexact"),
            *("-movflags", "+faststart", str(out)),
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            for frame in frames:
                process.stdin.write(frame.tobytes())
            process.stdin.close()
        if process.returncode:
            raise SystemExit(f"ffmpeg failed with exit status {process.returncode}")


def write_chimes(path: Path) -> None:
    samples = np.zeros(round(DURATION * SAMPLE_RATE))
    ring = np.arange(round(0.5 * SAMPLE_RATE)) / SAMPLE_RATE
    for second in chime_times():
        pitch = 990.0 if second in cut_times() else 660.0
        tone = np.sin(2 * np.pi * pitch * ring) + 0.3 * np.sin(4 * np.pi * pitch * ring)
        # A 2 ms attack: soft to the ear, yet its start can be found to the frame.
        envelope = np.minimum(ring / 0.002, 1) * np.exp(-ring / 0.09)
        start = round(second * SAMPLE_RATE)
        samples[start : start + ring.size] += 0.18 * tone * envelope
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())


def chime_times() -> list[float]:
    return [float(second) for second in range(1, math.ceil(DURATION))]


def cut_times() -> list[float]:
    return [span.start for span in TIMELINE if span.cut]


def ground_truth(seed: int) -> dict[str, Any]:
    """Who is on screen when, and where; boxes are pixel xyxy, five times a second."""
    return {
        "size": [WIDTH, HEIGHT],
        "fps": FPS,
        "frames": FRAMES,
        "duration_s": DURATION,
        "seed": seed,
        "cuts_s": cut_times(),
        "chimes_s": chime_times(),
        "spans": [
            {
                "start": span.start,
                "end": span.end,
                "faces": sorted(move.face for move in span.moves),
                "steady": span.steady,
            }
            for span in TIMELINE
        ],
        "boxes": {face: box_rows(face) for face in ("real", "fake")},
    }


def box_rows(face: str) -> list[list[float]]:
    """Rows of time, x0, y0, x1, y1 for the moments at which a face is wholly in the picture and opaque."""
    rows = []
    for index in range(0, FRAMES, FPS // 5):
        for name, pose, opacity in placements(index / FPS):
            half = pose.side / 2
            box = [pose.x - half, pose.y - half, pose.x + half, pose.y + half]
            inside = box[0] >= 0 and box[1] >= 0 and box[2] <= WIDTH and box[3] <= HEIGHT
            if name == face and inside and opacity == 1:
                rows.append([round(value, 2) for value in (index / FPS, *box)])
    return rows


def one_row_per_line(text: str) -> str:
    """Join the innermost lists of indented JSON, which would otherwise take a line per number."""
    return re.sub(r"\[[^\[\]{}]+\]", lambda found: "[" + " ".join(found[0][1:-1].split()) + "]", text)


if __name__ == "__main__":
    main()
