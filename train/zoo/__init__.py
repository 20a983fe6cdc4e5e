"""Model families: one file each, one registry. Keras is imported only when a model is built."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.errors import UnmaskError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, slots=True)
class Family:
    """A model family: the module that builds it, and what is known of it before it is built.

    Attributes:
        module: has ``build(size, imagenet)``, and takes the ``options`` by name.
        summary: what it is, in a few words.
        size: side of the crops that it is meant for, pixels.
        smallest: side of the smallest crops that it can take, pixels.
        parameters: at ``size`` and with the default options.
        imagenet_files: names of its ImageNet weights; any one of them will do.
        options: of ``FitConfig``, beside the size, that the model depends on.
        backbones: parameters with each of the families that ``arch`` may name, where there is that option.
    """

    module: str
    imagenet_files: tuple[str, ...] = ()
    summary: str = ""
    size: int = 224
    smallest: int = 32
    parameters: int = 0
    options: tuple[str, ...] = ()
    backbones: Mapping[str, int] = field(default_factory=dict)


FAMILIES = {
    "densenet121": Family(
        "train.zoo.densenet121",
        (
            "densenet121_imagenet_notop.weights.h5",
            "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
        ),
        "transfer learning; the shipped model",
        parameters=7_038_529,
    ),
    "mobilenet_v2": Family(
        "train.zoo.mobilenet_v2",
        ("mobilenet_v2_imagenet_notop.weights.h5", "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5"),
        "transfer learning; small and quick",
        parameters=2_259_265,
    ),
    "xception": Family(
        "train.zoo.xception",
        ("xception_imagenet_notop.weights.h5", "xception_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        "transfer learning; separable convolutions",
        size=160,
        smallest=71,
        parameters=20_863_529,
    ),
    "resnet50": Family(
        "train.zoo.resnet50",
        ("resnet50_imagenet_notop.weights.h5", "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        "transfer learning; residual network",
        size=160,
        parameters=23_589_761,
    ),
    "naive_cnn_1024": Family(
        "train.zoo.naive_cnn_1024",
        summary="four convolutions on pictures in high resolution",
        size=1024,
        parameters=1_551_489,
    ),
    "artifact_cnn": Family(
        "train.zoo.artifact_cnn",
        summary="one wide convolution and a dense layer",
        size=200,
        parameters=39_742_082,
    ),
    "logistic_regression": Family(
        "train.zoo.logistic_regression",
        summary="one weight a pixel: the least a model can do",
        size=200,
        parameters=120_001,
    ),
    "lnp_fusion": Family(
        "train.zoo.lnp_fusion",
        summary="learned noise pattern with its amplitude and phase",
        size=192,
        parameters=2_287_216,
        options=("arch", "mode", "crop_scale", "segmenter", "denoiser"),
        backbones={"mobilenet_v2": 2_287_216, "resnet50": 23_623_408},
    ),
}


def family(name: str) -> Family:
    """The family ``name``.

    Raises:
        UnmaskError: there is none.
    """
    if name not in FAMILIES:
        raise UnmaskError(f"--model {name}: no such model; the known ones are {', '.join(sorted(FAMILIES))}")
    return FAMILIES[name]


def build(name: str, size: int, imagenet: Path | None, **options: str | float) -> keras.Model:
    """The model ``name``: uint8 RGB (N, size, size, 3) -> float32 logit (N, 1), under the current dtype policy.

    Args:
        size: side of the crops, pixels.
        imagenet: weights to start from; None starts from scratch.
        options: of any family (``Family.options``); those that this one does not have are left aside.

    Raises:
        UnmaskError: no such family, or the size is too small for it.
    """
    known = family(name)
    if size < known.smallest:
        raise UnmaskError(f"--size {size}: {name} needs at least {known.smallest}")
    own = {key: value for key, value in options.items() if key in known.options}
    model: keras.Model = importlib.import_module(known.module).build(size, imagenet, **own)
    return model


def find_imagenet_weights(name: str, folder: Path, arch: str | None = None) -> Path | None:
    """The ImageNet weights of ``name`` in ``folder``; None where the family always starts from scratch.

    Args:
        arch: the backbone, for a family that has a choice of them.

    Raises:
        UnmaskError: they are not there.
    """
    if arch is not None and "arch" in family(name).options:
        name = arch
    files = family(name).imagenet_files
    for file in files:
        if (folder / file).is_file():
            return folder / file
    if not files:
        return None
    raise UnmaskError(
        f"{folder}: no ImageNet weights of {name} here; "
        f"run ./fetch_weights.sh {name}, or train from scratch with --imagenet none"
    )
