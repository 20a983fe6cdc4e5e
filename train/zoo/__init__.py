"""Model families: one file each, one registry. Keras is imported only when a model is built."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.errors import UnmaskError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, slots=True)
class Family:
    """A model family: the module that builds it and the files its ImageNet weights come in."""

    module: str
    imagenet_files: tuple[str, ...] = ()
    cam_layer: str | None = None


FAMILIES = {
    "densenet121": Family(
        "train.zoo.densenet121",
        (
            "densenet121_imagenet_notop.weights.h5",
            "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
        ),
        cam_layer="relu",
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


def build(name: str, size: int, imagenet: Path | None) -> keras.Model:
    """The model ``name``: uint8 RGB (N, size, size, 3) -> float32 logit (N, 1), under the current dtype policy."""
    model: keras.Model = importlib.import_module(family(name).module).build(size, imagenet)
    return model


def find_imagenet_weights(name: str, folder: Path) -> Path:
    """The ImageNet weights of ``name`` in ``folder``.

    Raises:
        UnmaskError: they are not there.
    """
    files = family(name).imagenet_files
    for file in files:
        if (folder / file).is_file():
            return folder / file
    raise UnmaskError(
        f"{folder}: no ImageNet weights of {name} here; "
        "run ./fetch_weights.sh, or train from scratch with --imagenet none"
    )
