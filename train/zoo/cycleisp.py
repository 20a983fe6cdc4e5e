"""CycleISP's denoiser of sRGB pictures (Zamir et al., CVPR 2020), which the learned noise pattern is published with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, slots=True)
class Form:
    """How large the network is; the defaults are those of the published weights, 2,834,947 parameters.

    Attributes:
        features: channels between head and tail.
        groups: recursive residual groups.
        blocks: dual attention blocks in each of them.
        reduction: of the channels inside the channel attention.
    """

    features: int = 64
    groups: int = 4
    blocks: int = 8
    reduction: int = 16


PUBLISHED = Form()
ACTIVATION = "activation"
"""Name of the one parametric ReLU, which all blocks share."""


def cycleisp(form: Form = PUBLISHED, name: str = "denoiser") -> keras.Model:
    """The network, with random weights: float32 RGB (N, H, W, 3) in [0, 1] -> the noise in it, the same shape.

    The noise is the picture less the denoised picture, thus the published network's residual times -1. Everything is
    computed in float32 whatever the policy: the noise is too small beside the picture for bfloat16. Layers have the
    published parameters' names, with "_" for ".".
    """
    import keras

    ops = keras.ops
    activation = keras.layers.PReLU(shared_axes=(1, 2), dtype="float32", name=ACTIVATION)

    def conv(x: Any, key: str, filters: int = form.features, kernel: int = 3, **options: Any) -> Any:
        layer = keras.layers.Conv2D(filters, kernel, padding="same", dtype="float32", name=key, **options)
        return layer(x)

    # Functions of keras.ops instead of layers: those would compute in the policy's type.
    def dual_attention(x: Any, key: str) -> Any:
        y = conv(activation(conv(x, f"{key}_body_0")), f"{key}_body_2")
        extremes = ops.concatenate([ops.max(y, axis=-1, keepdims=True), ops.mean(y, axis=-1, keepdims=True)], axis=-1)
        where = conv(extremes, f"{key}_SA_spatial_conv", 1, use_bias=False, activation="sigmoid")
        means = ops.mean(y, axis=(1, 2), keepdims=True)
        squeezed = conv(means, f"{key}_CA_conv_du_0", form.features // form.reduction, 1, activation="relu")
        which = conv(squeezed, f"{key}_CA_conv_du_2", kernel=1, activation="sigmoid")
        return x + conv(ops.concatenate([y * where, y * which], axis=-1), f"{key}_conv1x1", kernel=1)

    def residual_group(x: Any, key: str) -> Any:
        y = x
        for i in range(form.blocks):
            y = dual_attention(y, f"{key}_body_{i}")
        return x + conv(y, f"{key}_body_{form.blocks}")

    pictures = keras.Input((None, None, 3), dtype="float32")
    x = conv(pictures, "head_0")
    for i in range(form.groups):
        x = residual_group(x, f"body_{i}")
    x = activation(conv(x, f"body_{form.groups}"))
    return keras.Model(pictures, -conv(x, "tail_0", 3), name=name)


def parameters(form: Form = PUBLISHED) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published file's parameters: convolutions (out, in, height, width), biases (out,).

    The activation that the blocks share is there once for each of them.
    """
    n = form.features

    def conv(key: str, inner: int, out: int, kernel: int) -> dict[str, tuple[int, ...]]:
        return {f"{key}.weight": (out, inner, kernel, kernel), f"{key}.bias": (out,)}

    found = conv("head.0", 3, n, 3)
    for group in range(form.groups):
        for block in range(form.blocks):
            key = f"body.{group}.body.{block}"
            found |= {f"{key}.SA.spatial.conv.weight": (1, 2, 3, 3)}
            found |= conv(f"{key}.CA.conv_du.0", n, n // form.reduction, 1)
            found |= conv(f"{key}.CA.conv_du.2", n // form.reduction, n, 1)
            found |= conv(f"{key}.body.0", n, n, 3) | {f"{key}.body.1.weight": (n,)} | conv(f"{key}.body.2", n, n, 3)
            found |= conv(f"{key}.conv1x1", 2 * n, n, 1)
        found |= conv(f"body.{group}.body.{form.blocks}", n, n, 3)
    found |= conv(f"body.{form.groups}", n, n, 3) | {f"body.{form.groups + 1}.weight": (n,)}
    return found | conv("tail.0", n, 3, 3)


def activations(form: Form = PUBLISHED) -> tuple[str, ...]:
    """Names under which the shared activation is in a published file."""
    blocks = (f"body.{g}.body.{b}.body.1.weight" for g in range(form.groups) for b in range(form.blocks))
    return (*blocks, f"body.{form.groups + 1}.weight")
