"""DenseNet121 (Huang et al., CVPR 2017) with one logit on top, ImageNet weights where they are present."""

from __future__ import annotations

from pathlib import Path

import keras

from train.zoo.transfer import classifier

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def build(size: int, imagenet: Path | None) -> keras.Model:
    """The model: see :func:`train.zoo.transfer.classifier`; ``size`` is at least 32."""
    return classifier(
        "densenet121",
        keras.applications.DenseNet121,
        size,
        imagenet,
        scale=[1 / (255 * s) for s in _STD],
        offset=[-m / s for m, s in zip(_MEAN, _STD, strict=True)],
    )
