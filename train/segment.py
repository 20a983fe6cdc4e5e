"""Cuts faces out of pictures, for the segmenters of ``lnp_fusion`` that are no part of the model.

The app gives a model whole crops, so what is trained on these cannot be exported (docs/decisions/0006).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
from rich.progress import track

from app.core.crops import crop_face, square_around
from app.core.errors import UnmaskError
from app.core.files import cannot_write, write_whole
from app.core.records import ImageU8
from app.core.telemetry import refuse_telemetry
from app.models.runtimes import import_openvino
from app.models.signal_stack import signal_stack_kept
from train.blend import main_points
from train.config import IN_MODEL, FitConfig
from train.datasets import Sample
from train.pipeline import read_picture
from train.zoo import family

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
REGION_SCALE = 2.0
"""Side of the square that a segmenter sees, over the longer side of the face's box."""

Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]


class Segmenter(Protocol):
    """Says where the face is."""

    def mask(self, region: ImageU8, points: Points) -> Mask:
        """The face in the square around it.

        Args:
            region: uint8 RGB (S, S, 3).
            points: right eye, left eye, nose and mouth, (4, 2) pixels of the region.

        Returns:
            bool (S, S); False throughout where there is none.
        """
        ...


class MediaPipeSegmenter:
    """The face's skin by MediaPipe's multiclass selfie segmenter, with the holes in it filled.

    Args:
        folder: holds :data:`FILE`, which the mediapipe package does not carry.

    Raises:
        UnmaskError: the file is not there, or is no such model.
    """

    FILE = "selfie_multiclass_256x256.tflite"
    FACE_SKIN, CLASSES = 3, 6

    def __init__(self, folder: Path = WEIGHTS / "mediapipe") -> None:
        path = folder / self.FILE
        if not path.is_file():
            raise UnmaskError(
                f"{path}: no such file; download this model of MediaPipe's image segmenter and put it there, "
                "or choose --segmenter landmarks"
            )
        refuse_telemetry()
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision

        self._mp = mediapipe
        options = vision.ImageSegmenterOptions(BaseOptions(model_asset_path=str(path)), output_confidence_masks=True)
        try:
            self._model = vision.ImageSegmenter.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise UnmaskError(f"{path}: cannot be read ({str(error).splitlines()[0]}); download it again") from None

    def mask(self, region: ImageU8, points: Points) -> Mask:
        picture = self._mp.Image(image_format=self._mp.ImageFormat.SRGB, data=region)
        classes = self._model.segment(picture).confidence_masks
        if len(classes) != self.CLASSES:
            raise UnmaskError(
                f"{self.FILE}: tells {len(classes)} classes apart, not {self.CLASSES}; download the model of this name"
            )
        skin = np.asarray(classes[self.FACE_SKIN].numpy_view()).reshape(region.shape[:2]) > 0.5
        outlines, _ = cv2.findContours(skin.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        filled = np.zeros(region.shape[:2], np.uint8)
        if outlines:  # The largest: a smaller one is another face, or an arm.
            cv2.drawContours(filled, [max(outlines, key=cv2.contourArea)], -1, (1,), cv2.FILLED)
        return filled.astype(bool)


class MobileSamSegmenter:
    """MobileSAM (Zhang et al., 2023), prompted with the points of the face, through OpenVINO.

    Args:
        folder: holds ``encoder`` and ``decoder``, each ``.onnx`` or ``.xml``: the picture encoder, float32
            (1, 3, 1024, 1024) normalized as SAM's -> (1, 256, 64, 64), and the decoder as MobileSAM's own
            ``export_onnx_model.py`` writes it.

    Raises:
        UnmaskError: a file is not there, or is no such model.
    """

    SIDE = 1024
    MEAN = np.asarray((123.675, 116.28, 103.53), np.float32)
    SPREAD = np.asarray((58.395, 57.12, 57.375), np.float32)

    def __init__(self, folder: Path = WEIGHTS / "mobilesam") -> None:
        core = import_openvino().Core()
        self._encoder, self._decoder = (self._compiled(core, folder, name) for name in ("encoder", "decoder"))

    @staticmethod
    def _compiled(core: Any, folder: Path, name: str) -> Any:
        path = next((p for suffix in (".onnx", ".xml") if (p := folder / f"{name}{suffix}").is_file()), None)
        if path is None:
            raise UnmaskError(
                f"{folder / name}.onnx: no such file; export MobileSAM to it as docs/training.md says, "
                "or choose --segmenter landmarks"
            )
        try:
            with signal_stack_kept():
                return core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        except RuntimeError as error:
            raise UnmaskError(f"{path}: cannot be read ({str(error).splitlines()[0]}); export it again") from None

    def mask(self, region: ImageU8, points: Points) -> Mask:
        side = region.shape[0]
        enlarged = cv2.resize(region, (self.SIDE, self.SIDE), interpolation=cv2.INTER_LINEAR)
        picture = ((enlarged.astype(np.float32) - self.MEAN) / self.SPREAD).transpose(2, 0, 1)[None]
        # A point labelled -1 stands for the box that is not given.
        prompts = np.concatenate([points * (self.SIDE / side), [(0.0, 0.0)]]).astype(np.float32)[None]
        found = self._decoder(
            {
                "image_embeddings": self._encoder([picture])[0],
                "point_coords": prompts,
                "point_labels": np.asarray([[1.0] * len(points) + [-1.0]], np.float32),
                "mask_input": np.zeros((1, 1, 256, 256), np.float32),
                "has_mask_input": np.zeros(1, np.float32),
                "orig_im_size": np.asarray((side, side), np.float32),
            }
        )
        best = int(np.argmax(found["iou_predictions"][0]))
        # Not "masks", the same in the picture's size: OpenVINO does not enlarge them as the exported model means it.
        return np.asarray(cv2.resize(found["low_res_masks"][0, best], (side, side)) > 0)


SEGMENTERS: dict[str, Callable[[], Segmenter]] = {"mediapipe": MediaPipeSegmenter, "mobilesam": MobileSamSegmenter}
"""Those that cut pictures out, by name."""


def cut_out(samples: Sequence[Sample], folder: Path, segmenter: str) -> list[Sample]:
    """The samples with their faces cut out: copies of the pictures that are black elsewhere.

    Copies that are there are kept. A picture in which the segmenter finds no face stays whole, and is counted.

    Args:
        folder: gets one folder a segmenter, in it ``SPLIT/LABEL/NAME.png``.
        segmenter: one of :data:`SEGMENTERS`.

    Raises:
        UnmaskError: the segmenter's files are not there, or a picture cannot be read.
    """
    copies = [folder / segmenter / f"{name}.png" for name in picture_names(samples)]
    missing = [(s, copy) for s, copy in zip(samples, copies, strict=True) if not copy.is_file()]
    if missing:
        tool, whole = SEGMENTERS[segmenter](), 0
        for sample, copy in track(missing, description=f"cutting faces out, {segmenter}"):
            image = read_picture(sample)
            mask = face_of(image, sample, tool)
            whole += not mask.any()
            write_picture(copy, image * mask[..., None] if mask.any() else image)
        if whole:
            print(f"{whole} of {len(missing)} pictures stay whole: {segmenter} finds no face in them")
    return [replace(s, path=copy) for s, copy in zip(samples, copies, strict=True)]


def cut_out_for(config: FitConfig, samples: Sequence[Sample], run: Path) -> list[Sample]:
    """The samples as a run's model is shown them: cut out below ``run`` where its segmenter is no part of the model."""
    if "segmenter" not in family(config.model).options or config.segmenter in IN_MODEL:
        return list(samples)
    return cut_out(samples, run / "cut-out", config.segmenter)


def face_of(image: ImageU8, sample: Sample, segmenter: Segmenter) -> Mask:
    """Where the sample's face is in its picture, uint8 BGR (H, W, 3): bool (H, W)."""
    assert sample.box is not None
    left, top, side = square_around(sample.box, REGION_SCALE)
    region = crop_face(image, sample.box, side, REGION_SCALE)
    found = segmenter.mask(region, main_points(sample.box, sample.keypoints) - (left, top))
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.bool_)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    mask[y0:y1, x0:x1] = found[y0 - top : y1 - top, x0 - left : x1 - left]
    return mask


def picture_names(samples: Sequence[Sample]) -> list[str]:
    """A name for each sample's picture, ``SPLIT/LABEL/STEM``; where that stands for two, with a hash of the path."""
    plain = [f"{s.split}/{s.label}/{s.path.stem}" for s in samples]
    often = Counter(plain)

    def unique(name: str, sample: Sample) -> str:
        digest = hashlib.sha256(sample.path.as_posix().encode("utf-8", "surrogateescape")).hexdigest()[:8]
        return f"{name}-{digest}" if often[name] > 1 else name

    return [unique(name, sample) for name, sample in zip(plain, samples, strict=True)]


def write_picture(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write a picture, uint8 grey (H, W) or BGR (H, W, 3), whole or not at all.

    Raises:
        UnmaskError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from None
    write_whole(path, cv2.imencode(".png", image)[1].tobytes())
