"""Models small enough to be written in a test, as real files of weights/: their logit is a sum over the crop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.core.cards import sha256_of
from app.models.runtimes import import_openvino

SIZE = 64


def write_model(
    folder: Path, fields: dict[str, Any], kernel: npt.ArrayLike, offset: float = 0.0, *, size: int = SIZE
) -> None:
    """Write ``folder/NAME/`` of the card ``fields``: its CPU form gives logit = sum(kernel * mean RGB) + offset.

    Args:
        kernel: (3,), what each colour's mean, [0, 255], adds to the logit.
    """
    place = folder / fields["name"]
    place.mkdir(parents=True)
    ov = import_openvino()
    from openvino import opset13 as ops

    crops = ops.parameter([-1, size, size, 3], np.uint8, name="crop")
    share = ops.multiply(ops.convert(crops, "f32"), ops.constant(np.asarray(kernel, np.float32).reshape(1, 1, 1, 3)))
    places = ops.reduce_sum(share, ops.constant(np.asarray([3])), keep_dims=False)
    mean = ops.reduce_mean(places, ops.constant(np.asarray([1, 2])), keep_dims=False)
    logit = ops.unsqueeze(ops.add(mean, ops.constant(np.float32(offset))), ops.constant(np.asarray([1])))
    model = ov.Model([logit, places], [crops], fields["name"])
    for output, name in zip(model.outputs, ("logit", "map"), strict=True):
        output.set_names({name})
    model.set_rt_info("f32", ["unmask", "inference_precision"])
    ov.save_model(model, place / "model.xml", compress_to_fp16=False)
    (place / "model.keras").write_bytes(f"stands for {fields['name']}".encode())
    names = {"keras": "model.keras", "openvino_xml": "model.xml", "openvino_bin": "model.bin"}
    files = {key: {"name": name, "sha256": sha256_of((place / name).read_bytes())} for key, name in names.items()}
    input_ = fields["preprocessing"] | {"size": size}
    (place / "card.json").write_text(json.dumps(fields | {"files": files, "preprocessing": input_}))


def write_two(folder: Path, card_fields: Callable[..., dict[str, Any]]) -> tuple[str, str]:
    """ "bluish" looks for blue, "redless" for a lack of red; both judge everything."""
    gates = {"min_size_px": 20.0, "min_sharpness": 0.0, "min_brightness": 0.0, "max_brightness": 255.0, "max_yaw": 1.0}
    for name, kernel, offset in (("bluish", (-0.02, 0.0, 0.05), -3.0), ("redless", (-0.06, 0.03, 0.02), 0.5)):
        write_model(folder, card_fields(name=name, thresholds=gates), kernel, offset)
    return "bluish", "redless"
