"""MobileNetV2 (Sandler et al., CVPR 2018) with one logit on top, ImageNet weights where they are present."""

from __future__ import annotations

from pathlib import Path

import keras

from train.zoo.transfer import classifier


def build(size: int, imagenet: Path | None) -> keras.Model:
    """The model: see :func:`train.zoo.transfer.classifier`; ``size`` is at least 32."""
    return classifier("mobilenet_v2", keras.applications.MobileNetV2, size, imagenet, scale=1 / 127.5, offset=-1.0)
