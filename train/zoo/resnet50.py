"""ResNet50 (He et al., CVPR 2016) with one logit on top, ImageNet weights where they are present."""

from __future__ import annotations

from pathlib import Path

import keras

from train.zoo.transfer import classifier

_MEAN = (123.68, 116.779, 103.939)


def build(size: int, imagenet: Path | None) -> keras.Model:
    """The model: see :func:`train.zoo.transfer.classifier`; ``size`` is at least 32.

    The published weights come from Caffe and expect BGR less ImageNet's mean, in units of a pixel.
    """
    return classifier(
        "resnet50",
        keras.applications.ResNet50,
        size,
        imagenet,
        scale=1.0,
        offset=[-m for m in _MEAN],
        flipped=True,
    )
