"""What is measured of a picture besides the face: file format, compression, sharpness, perceptual hashes."""

from __future__ import annotations

import struct
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from app.core.crops import crop_face, measure_quality
from app.core.records import Detection, ImageU8
from train.datasets import Facts

Hash = npt.NDArray[np.uint64]
HASH_BITS = 256
CROP_SIZE, CROP_SCALE = 224, 1.5

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)
# The luminance table of the JPEG standard (ITU-T T.81, table K.1), which libjpeg scales by the quality.
_LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)


def facts_of(data: bytes, image: ImageU8, face: Detection) -> Facts:
    """Facts of a picture: its file ``data``, decoded as uint8 BGR (H, W, 3), and the face in it."""
    quality = measure_quality(crop_face(image, face.box, CROP_SIZE, CROP_SCALE), face)
    return Facts(
        width=image.shape[1],
        height=image.shape[0],
        format=picture_format(data),
        quality=jpeg_quality(data),
        bytes=len(data),
        sharpness=round(quality.sharpness, 4),
        brightness=round(quality.brightness, 1),
    )


def picture_format(data: bytes) -> str:
    """Name of a picture's format by its first bytes, whatever its suffix says; "other" for one not known here."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP lossless" if data[12:16] == b"VP8L" else "WebP"
    return next((name for signature, name in _SIGNATURES if data.startswith(signature)), "other")


def jpeg_quality(data: bytes) -> int | None:
    """The libjpeg quality, 1 to 100, nearest to a JPEG's luminance table by its sum; None for what is no JPEG.

    Other encoders have tables of their own: for them it is an equivalent.
    """
    at = 2
    while data.startswith(b"\xff\xd8") and at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if marker == 0xDA:
            break
        segment = data[at + 4 : at + 2 + length]
        while marker == 0xDB and segment:
            wide, number = segment[0] >> 4, segment[0] & 15
            table = np.frombuffer(segment[1 : 65 + 64 * wide], ">u2" if wide else "u1")
            if number == 0 and table.size == 64:
                return int(np.argmin(np.abs(_table_sums() - table.sum()))) + 1
            segment = segment[65 + 64 * wide :]
        at += 2 + length
    return None


@cache
def _table_sums() -> npt.NDArray[np.int64]:
    """Sum of libjpeg's luminance table at qualities 1 to 100."""
    qualities = np.arange(1, 101)
    scales = np.where(qualities < 50, 5000 // qualities, 200 - 2 * qualities)
    tables = np.clip((_LUMINANCE.reshape(1, 64) * scales[:, None] + 50) // 100, 1, 255)
    return np.asarray(tables.sum(axis=1), np.int64)


def hashes_of(image: ImageU8, face: Detection) -> Hash:
    """Perceptual hashes of a picture and of the face's crop in it: uint64 (2, HASH_BITS / 64).

    The first finds the same picture, the second the same photograph cut differently. A hash is the signs of the
    lowest frequencies of a 64 px grey copy (pHash), lowest first: small changes flip few of them.
    """
    crop = crop_face(image, face.box, CROP_SIZE, CROP_SCALE)
    greys = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return np.stack([_signs(np.asarray(grey, np.uint8)) for grey in greys])


def mirrored(hashes: Hash) -> Hash:
    """The hashes that the mirrored pictures have: a mirror turns the sign of the odd horizontal frequencies."""
    odd = _frequencies()[1] % 2 == 1
    return np.asarray(hashes ^ np.packbits(odd).view(np.uint64), np.uint64)


def _signs(grey: ImageU8) -> Hash:
    small = cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.packbits(cv2.dct(small)[_frequencies()] > 0).view(np.uint64)


@cache
def _frequencies() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows and columns of the HASH_BITS lowest frequencies but the mean, lowest first."""
    rows, columns = (axis.ravel() for axis in np.indices((17, 17)))
    order = np.lexsort((columns, rows, rows + columns))[1 : HASH_BITS + 1]
    return rows[order], columns[order]
