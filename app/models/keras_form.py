"""The Keras form of a model: loading it safely, and giving its evidence map beside the logit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from app.core.errors import UnmaskError


def load_model(path: Path) -> Any:
    """The Keras model in a ``.keras`` file, without its optimizer and with ``safe_mode``: a file runs no code.

    Raises:
        UnmaskError: there is no such file, it is damaged, or it is not a model that loads safely.
        tf.errors.ResourceExhaustedError: the device has no memory for it.
    """
    import keras

    from app.models import layers  # noqa: F401 - registers the layers of our own

    if not path.is_file():  # Keras would take a folder too.
        raise UnmaskError(f"{path}: no such file; name a .keras model")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Whatever a damaged archive, or one made to harm, brings the readers inside Keras to.
        if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's, which may not be the backend
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnmaskError(f"{path}: the model cannot be loaded safely ({reason}); restore the file") from None


def with_evidence_map(model: Any) -> Any:
    """A Keras model with outputs ``logit`` and ``map`` from one that ends in a head that can be explained.

    ``map`` (N, h, w) is the last feature map times the gradient of the logit at each of its places, summed over the
    channels and times h * w: each place's share in the logit. Where the head is a global average pooling and one
    dense unit, the gradient is the unit's weights (Zhou et al., CVPR 2016), logit = mean(map) + bias, and up to a
    positive factor the map's positive part is Grad-CAM (Selvaraju et al., ICCV 2017). Where it is a flattening and
    dense layers, the gradient differs from place to place and the map is HiResCAM (Draelos and Carin, 2020). Either
    way no backward pass is needed, so the CPU form can give it too.

    Raises:
        ValueError: the model does not end that way.
    """
    import keras

    head = _head(model)
    features = head[-1].input
    if isinstance(head[-1], keras.layers.Flatten):
        places = _flattened_evidence(head, features)
    else:
        weigh = keras.layers.Conv2D(1, 1, use_bias=False, dtype="float32", name="evidence")
        places = weigh(features)
        weigh.set_weights([np.asarray(head[0].kernel).reshape(1, 1, -1, 1)])
    flat = keras.layers.Reshape(tuple(features.shape[1:3]), dtype="float32", name="map")(places)
    return keras.Model(model.inputs, [model.outputs[0], flat])


def _head(model: Any) -> list[Any]:
    """The layers of the head, from the logit back to the one that ends the feature map."""
    import keras

    from app.models.layers import LogitDifference

    dense: list[Any] = []
    pools = [layer for layer in model.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D)]
    for layer in reversed(model.layers):
        if isinstance(layer, keras.layers.GlobalAveragePooling2D):
            if len(pools) == 1 and len(dense) == 1 and _is_linear(dense[0]) and dense[0].units == 1:
                return [*dense, layer]
            break
        if isinstance(layer, keras.layers.Flatten):
            if dense and (isinstance(dense[0], LogitDifference) or (_is_linear(dense[0]) and dense[0].units == 1)):
                return [*dense, layer]
            break
        if isinstance(layer, keras.layers.Dense | LogitDifference):
            dense.append(layer)
        elif not isinstance(layer, keras.layers.Dropout):
            break
    raise ValueError(
        f"model {model.name} does not end in one global average pooling and one linear dense unit, "
        "nor in a flattening and dense layers"
    )


def _is_linear(layer: Any) -> bool:
    import keras

    return isinstance(layer, keras.layers.Dense) and layer.activation is keras.activations.linear


def _flattened_evidence(head: list[Any], features: Any) -> Any:
    """Feature map times gradient, summed over the channels: (N, h, w)."""
    import keras

    gradient: Any = np.ones((1, 1), np.float32)
    for layer in head[:-1]:
        if not isinstance(layer, keras.layers.Dense):  # the difference of two logits
            gradient = np.asarray([[-1.0, 1.0]], np.float32)
            continue
        if layer.activation is keras.activations.relu:
            gradient = gradient * keras.ops.cast(layer.output > 0, "float32")
        elif not _is_linear(layer):
            raise ValueError(f"layer {layer.name}: only linear and ReLU units can be explained")
        # OpenVINO keeps the kernel of a dense layer transposed, and equal constants once: said any other way, the
        # exported file has it twice.
        gradient = keras.ops.einsum("jk,nj->nk", keras.ops.transpose(layer.kernel), gradient)
    height, width, channels = features.shape[1:]
    gradient = keras.ops.reshape(gradient, (-1, height, width, channels))
    return keras.ops.sum(features * gradient, axis=-1) * float(height * width)
