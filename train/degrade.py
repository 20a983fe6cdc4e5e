"""What happens to a picture between the camera, or the generator, and the person who looks at it.

Every function takes and returns uint8 BGR (H, W, 3) and draws from the generator that it is given, nothing else.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from app.core.errors import UnmaskError
from app.core.records import Box, ImageU8

INTERPOLATIONS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
Rng = np.random.Generator
NOISE_POOL = 1 << 21


def rescaled(image: ImageU8, box: Box, rng: Rng, smallest: float) -> tuple[ImageU8, Box]:
    """The picture shrunk to between ``smallest`` and 1 of its size, as sites and cameras do, and its box with it."""
    factor = float(rng.uniform(smallest, 1.0))
    height, width = image.shape[:2]
    size = (max(16, round(width * factor)), max(16, round(height * factor)))
    small = cv2.resize(image, size, interpolation=int(rng.choice(INTERPOLATIONS)))
    sx, sy = size[0] / width, size[1] / height
    return np.asarray(small, np.uint8), Box(box.x0 * sx, box.y0 * sy, box.x1 * sx, box.y1 * sy)


def resampled(image: ImageU8, rng: Rng, smallest: float = 0.35) -> ImageU8:
    """The picture shrunk and enlarged again: its fine detail is lost, its size is not."""
    factor = float(rng.uniform(smallest, 0.9))
    height, width = image.shape[:2]
    down, up = rng.choice(INTERPOLATIONS, 2)
    small = cv2.resize(image, (max(8, round(width * factor)), max(8, round(height * factor))), interpolation=int(down))
    return np.asarray(cv2.resize(small, (width, height), interpolation=int(up)), np.uint8)


def jpeg(image: ImageU8, quality: int) -> ImageU8:
    """The picture after JPEG at ``quality`` in [1, 100]."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def webp(image: ImageU8, quality: int) -> ImageU8:
    """The picture after lossy WebP at ``quality`` in [1, 100]."""
    _, data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def h264(images: Sequence[ImageU8], crf: int) -> list[ImageU8]:
    """Pictures after H.264 at the rate factor ``crf`` in [0, 51], each from the second of two frames that drift apart.

    One process serves all of them, because starting it costs more than coding a picture: they stand in the corners of
    frames of one size, two frames each, every pair beginning with a key frame; what the encoder writes goes straight to
    a decoder beside it.

    Raises:
        UnmaskError: the encoder failed.
    """
    import imageio_ffmpeg

    if not images:
        return []
    width = max(i.shape[1] for i in images) + 3 & ~1
    height = max(i.shape[0] for i in images) + 3 & ~1
    frames = np.empty((2 * len(images), height, width, 3), np.uint8)
    for n, image in enumerate(images):
        right, below = width - image.shape[1], height - image.shape[0]
        padded = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
        frames[2 * n + 1] = padded
        frames[2 * n] = cv2.copyMakeBorder(padded[:-1, :-1], 1, 0, 1, 0, cv2.BORDER_REPLICATE)
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-filter_threads", "1"]
    raw = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{width}x{height}", "-r", "25", "-i", "-"]
    encode = ["-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf), "-g", "2", "-bf", "0", "-threads", "1"]
    coded = ["-pix_fmt", "yuv420p", "-f", "null", "-"]
    decode = ["-threads", "1", "-dec", "0:0", "-filter_complex", "[dec:0]select=mod(n\\,2),format=bgr24[out]"]
    output = ["-map", "[out]", "-fps_mode", "passthrough", "-f", "rawvideo", "-"]
    decoded = _piped([*ffmpeg, *raw, *encode, *coded, *decode, *output], frames.data.cast("B"))
    if 2 * len(decoded) != frames.nbytes:
        raise UnmaskError(
            f"H.264 gave {len(decoded)} of {frames.nbytes // 2} bytes; check the installed imageio-ffmpeg"
        )
    back = np.frombuffer(decoded, np.uint8).reshape(len(images), height, width, 3)
    return [np.ascontiguousarray(b[: i.shape[0], : i.shape[1]]) for b, i in zip(back, images, strict=True)]


def _piped(command: list[str], data: memoryview) -> bytes:
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode:
        raise UnmaskError(f"ffmpeg failed: {done.stderr.decode(errors='replace').strip()[-200:]}")
    return done.stdout


def coloured(image: ImageU8, rng: Rng) -> ImageU8:
    """Brightness, contrast, gamma, saturation and white balance as cameras vary."""
    curve = np.power(np.linspace(0, 1, 256, dtype=np.float32), float(rng.uniform(0.75, 1.35)))
    curve = (curve - 0.5) * float(rng.uniform(0.75, 1.25)) + 0.5 + float(rng.uniform(-0.1, 0.1))
    balance = rng.uniform(0.93, 1.07, size=3).astype(np.float32)
    table = np.clip(curve[:, None] * balance * 255 + 0.5, 0, 255).astype(np.uint8)
    image = np.asarray(cv2.LUT(image, table[None]), np.uint8)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    saturation = float(rng.uniform(0.5, 1.4))
    return np.asarray(cv2.addWeighted(image, saturation, grey, 1 - saturation, 0), np.uint8)


def toned_like(image: ImageU8, other: ImageU8) -> ImageU8:
    """The picture in the colours of another (Reinhard et al., IEEE CG&A 2001): mean and spread of each Lab channel.

    With a picture of the other class it breaks what colour tells about the source, and leaves the label.
    """
    # Every fourth pixel of the other tells its colours as well as all of them.
    lab, reference = (cv2.cvtColor(i, cv2.COLOR_BGR2LAB) for i in (image, np.ascontiguousarray(other[::2, ::2])))
    mean, spread = (v.reshape(3) for v in cv2.meanStdDev(lab))
    to_mean, to_spread = (v.reshape(3) for v in cv2.meanStdDev(reference))
    gain = np.clip(to_spread / np.maximum(spread, 1.0), 0.6, 1.6)
    levels = np.arange(256, dtype=np.float64)[:, None]
    table = np.clip((levels - mean) * gain + to_mean + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.LUT(lab, table[None]), cv2.COLOR_LAB2BGR), np.uint8)


def blurred(image: ImageU8, rng: Rng) -> ImageU8:
    """Out of focus (Gaussian, sigma 0.3 to 1.5 pixels) or moved (3 to 7 pixels)."""
    if rng.random() < 0.7:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 1.5))), np.uint8)
    length = int(rng.integers(3, 8))
    angle = float(rng.uniform(0, np.pi))
    kernel = np.zeros((length, length), np.float32)
    middle = (length - 1) / 2
    reach = np.array([np.cos(angle), np.sin(angle)]) * middle
    start, end = np.rint(middle - reach).astype(int), np.rint(middle + reach).astype(int)
    cv2.line(kernel, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), (1.0,))
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def sharpened(image: ImageU8, rng: Rng) -> ImageU8:
    """Unsharp masking, as studios and phones do."""
    soft = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.8, 2.0)))
    amount = float(rng.uniform(0.3, 1.3))
    return np.asarray(cv2.addWeighted(image, 1 + amount, soft, -amount, 0), np.uint8)


def smoothed(image: ImageU8, rng: Rng) -> ImageU8:
    """Edge-preserving smoothing, as retouching and beauty filters do."""
    soft = cv2.bilateralFilter(image, 5, float(rng.uniform(15, 45)), 3)
    amount = float(rng.uniform(0.4, 1.0))
    return np.asarray(cv2.addWeighted(soft, amount, image, 1 - amount, 0), np.uint8)


def noisy(image: ImageU8, rng: Rng) -> ImageU8:
    """Sensor noise of standard deviation 1 to 8 grey levels, sometimes the same in all channels."""
    sigma = float(rng.uniform(1.0, 8.0))
    height, width = image.shape[:2]
    channels = 1 if rng.random() < 0.4 else 3
    count = height * width * channels
    if count > NOISE_POOL // 2:
        noise = rng.standard_normal(count, np.float32)
    else:
        # A window of a pool, at random: drawing every value anew would be half the cost of a training crop.
        start = int(rng.integers(NOISE_POOL - count))
        noise = _noise_pool()[start : start + count]
    noise = noise.reshape(height, width, channels)
    if channels == 1:
        noise = cv2.merge([noise] * 3)
    return np.asarray(cv2.addWeighted(image, 1.0, noise, sigma, 0.0, dtype=cv2.CV_8U), np.uint8)


@cache
def _noise_pool() -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(NOISE_POOL, np.float32)


def screen_captured(image: ImageU8, rng: Rng) -> ImageU8:
    """A camera pointed at a screen: gamma, a colour cast, and moire from two grids that beat."""
    height, width = image.shape[:2]
    waves = np.zeros((height, width), np.float32)
    for _ in range(2):
        angle, period = float(rng.uniform(0, np.pi)), float(rng.uniform(2.5, 9.0))
        step, phase = 2 * np.pi / period, float(rng.uniform(0, 6.3))
        along_x = np.arange(width) * (step * np.cos(angle)) + phase
        along_y = np.arange(height) * (step * np.sin(angle))
        # sin(a + b) from the sines and cosines of the two sides: a plane wave without a sine for every pixel.
        sides = np.stack([np.sin(along_y), np.cos(along_y)], 1) @ np.stack([np.cos(along_x), np.sin(along_x)])
        waves += sides.astype(np.float32)
    gain = 1 + float(rng.uniform(0.01, 0.05)) * waves
    cast = rng.uniform(0.92, 1.05, 3)
    levels = np.power(np.linspace(0, 1, 256)[:, None], float(rng.uniform(0.8, 1.3))) * cast * 255
    lit = cv2.LUT(image, levels[None].astype(np.float32))
    return np.asarray(cv2.multiply(lit, cv2.merge([gain] * 3), dtype=cv2.CV_8U), np.uint8)


def occluded(image: ImageU8, box: Box, rng: Rng) -> ImageU8:
    """A patch of one colour or of noise over up to a tenth of the face: captions, hands, masks, microphones."""
    out = image.copy()
    area = 0.1 * box.width * box.height * float(rng.uniform(0.2, 1.0))
    aspect = float(np.exp(rng.uniform(-1.2, 1.2)))
    w, h = np.sqrt(area * aspect), np.sqrt(area / aspect)
    x = box.x0 + float(rng.uniform(0, 1)) * box.width - w / 2
    y = box.y0 + float(rng.uniform(0, 1)) * box.height - h / 2
    x0, y0 = max(0, int(x)), max(0, int(y))
    patch: npt.NDArray[np.uint8] = out[y0 : max(y0, int(y + h)), x0 : max(x0, int(x + w))]
    patch[:] = rng.integers(0, 256, patch.shape if rng.random() < 0.3 else 3, dtype=np.uint8)
    return out
