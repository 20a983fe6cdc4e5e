"""Xception (Chollet, CVPR 2017) with one logit on top, ImageNet weights where they are present."""

from __future__ import annotations

from pathlib import Path

import keras

from train.zoo.transfer import classifier


def build(size: int, imagenet: Path | None) -> keras.Model:
    """The model: see :func:`train.zoo.transfer.classifier`; ``size`` is at least 71."""
    return classifier("xception", keras.applications.Xception, size, imagenet, scale=1 / 127.5, offset=-1.0)
