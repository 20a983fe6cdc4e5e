"""Makes tests/train/cycleisp/: what PyTorch writes and computes for a small CycleISP denoiser with random weights.

    python -m tests.tools.make_cycleisp_sample

Needs PyTorch, which the project does not: the tests read what is committed. The network is written here a second time,
from the paper and with PyTorch's own operations, so that a mistake in train/zoo/cycleisp.py shows.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from train.zoo.cycleisp import Form, activations, parameters

FOLDER = Path(__file__).resolve().parents[1] / "train" / "cycleisp"
FORM = Form(features=8, groups=2, blocks=2, reduction=4)


def residual(pictures: Any, weights: dict[str, Any], form: Form) -> Any:
    """(N, 3, H, W) -> denoised picture less picture, the same shape."""
    import torch
    from torch.nn import functional as F

    def conv(x: Any, key: str) -> Any:
        kernel = weights[f"{key}.weight"]
        return F.conv2d(x, kernel, weights.get(f"{key}.bias"), padding=kernel.shape[-1] // 2)

    def block(x: Any, key: str) -> Any:
        y = conv(F.prelu(conv(x, f"{key}.body.0"), weights[f"{key}.body.1.weight"]), f"{key}.body.2")
        pooled = torch.stack([y.amax(1), y.mean(1)], 1)
        by_place = y * torch.sigmoid(conv(pooled, f"{key}.SA.spatial.conv"))
        squeezed = F.relu(conv(F.adaptive_avg_pool2d(y, 1), f"{key}.CA.conv_du.0"))
        by_channel = y * torch.sigmoid(conv(squeezed, f"{key}.CA.conv_du.2"))
        return conv(torch.cat([by_place, by_channel], 1), f"{key}.conv1x1") + x

    x = conv(pictures, "head.0")
    for g in range(form.groups):
        y = x
        for b in range(form.blocks):
            y = block(y, f"body.{g}.body.{b}")
        x = conv(y, f"body.{g}.body.{form.blocks}") + x
    x = F.prelu(conv(x, f"body.{form.groups}"), weights[f"body.{form.groups + 1}.weight"])
    return conv(x, "tail.0")


def main() -> None:
    import torch

    torch.manual_seed(1)
    shared = torch.rand(FORM.features) * 0.5
    weights = OrderedDict(
        (name, shared if name in activations(FORM) else torch.randn(shape) * 0.2)
        for name, shape in parameters(FORM).items()
    )
    pictures = torch.rand(2, 3, 20, 24)
    with torch.no_grad():
        noise = -residual(pictures, weights, FORM)
    FOLDER.mkdir(exist_ok=True)
    torch.save({"epoch": 3, "state_dict": weights}, FOLDER / "small.pth")
    # As the published files are: from before PyTorch 1.6, of a model on several GPUs.
    parallel = OrderedDict((f"module.{name}", value) for name, value in weights.items())
    torch.save({"state_dict": parallel}, FOLDER / "small-old.pth", _use_new_zipfile_serialization=False)
    channels_last = {"pictures": pictures, "noise": noise}
    np.savez_compressed(FOLDER / "small.npz", **{k: v.permute(0, 2, 3, 1).numpy() for k, v in channels_last.items()})


if __name__ == "__main__":
    main()
