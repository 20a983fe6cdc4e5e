"""CycleISP's published weights, turned into Keras weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.core.errors import UnmaskError
from app.core.files import whole_file
from train.cycleisp_file import read_tensors
from train.zoo.cycleisp import ACTIVATION, PUBLISHED, Form, activations, cycleisp, parameters


def convert(source: Path, path: Path, form: Form = PUBLISHED) -> int:
    """Write the Keras weights ``path`` (``*.weights.h5``) from a published ``.pth`` file.

    Returns:
        The number of parameters.

    Raises:
        UnmaskError: the file cannot be read, or its parameters are not this network's.
    """
    tensors = read_tensors(source)
    _check(tensors, source, form)
    model = cycleisp(form)
    load(model, tensors, form)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        model.save_weights(partial)
    return int(model.count_params())


def load(model: Any, tensors: Mapping[str, npt.NDArray[Any]], form: Form = PUBLISHED) -> None:
    """Set the weights of :func:`train.zoo.cycleisp.cycleisp` from tensors as :func:`parameters` names them."""
    shared = activations(form)
    model.get_layer(ACTIVATION).set_weights([tensors[shared[0]].reshape(1, 1, -1)])
    keys = {name.rpartition(".")[0] for name in parameters(form) if name not in shared}
    for key in keys:
        # (out, in, height, width) in PyTorch, (height, width, in, out) in Keras.
        weights = [tensors[f"{key}.weight"].transpose(2, 3, 1, 0)]
        if f"{key}.bias" in tensors:
            weights.append(tensors[f"{key}.bias"])
        model.get_layer(key.replace(".", "_")).set_weights(weights)


def _check(tensors: Mapping[str, npt.NDArray[Any]], source: Path, form: Form) -> None:
    expected, found = parameters(form), {name: tensor.shape for name, tensor in tensors.items()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        raise UnmaskError(
            f"{source}: is not CycleISP's sRGB denoiser ({len(wrong)} parameters differ, the first is {wrong[0]}); "
            "give the published sidd_rgb.pth or dnd_rgb.pth"
        )
    first, *others = (tensors[name] for name in activations(form))
    if not all(np.array_equal(first, other) for other in others):
        raise UnmaskError(f"{source}: its blocks do not share one activation as published; give the published file")
