"""What a network looks for first: the filters of a convolution, and what they make of pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from app.core.errors import UnmaskError
from app.core.records import ImageU8
from app.models.keras_form import load_model
from train.evaluate import plain
from train.figures import STYLE
from train.trained import Trained

Floats = npt.NDArray[np.float32]
MOST_FILTERS = 64
"""Filters drawn at most: more cannot be told apart on a page."""
MAPS = 8
"""Feature maps drawn of each picture."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """One convolution of a model.

    Attributes:
        name: of the layer.
        kernels: float32 (C, h, w, K): C filters on K channels.
        maps: what it makes of N pictures, with its activation, float32 (N, H, W, C).
    """

    name: str
    kernels: Floats
    maps: Floats


def convolution(model: Trained, crops: ImageU8, layer: str | None = None) -> Convolution:
    """A convolution of a model, and what it makes of crops.

    Args:
        crops: uint8 RGB (N, size, size, 3).
        layer: its name; None takes the first one from the picture on.

    Raises:
        UnmaskError: the model cannot be loaded, has no convolution, or none of that name.
    """
    try:
        network = load_model(model.verified())
    except (ValueError, OSError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnmaskError(f"{model.file}: the model cannot be loaded safely ({reason}); train it anew") from None
    import keras

    found = {layer.name: layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)}
    if not found:
        raise UnmaskError(f"{model.file}: {model.family} has no convolution, so no filters; choose another run")
    if layer is not None and layer not in found:
        raise UnmaskError(f"--layer {layer}: no such convolution in {model.file}; there are {', '.join(found)}")
    chosen = found[layer] if layer is not None else next(iter(found.values()))
    maps = keras.Model(network.inputs, chosen.output).predict_on_batch(crops)
    kernels = np.moveaxis(np.asarray(chosen.kernel, np.float32), -1, 0)
    return Convolution(chosen.name, kernels, np.asarray(maps, np.float32))


def draw_filters(found: Convolution, title: str) -> Figure:
    """The filters, each stretched to its own range: in colour where they see three channels, else their mean."""
    kernels = found.kernels[:MOST_FILTERS]
    columns = min(16, max(4, math.ceil(math.sqrt(2 * len(kernels)))))
    rows = math.ceil(len(kernels) / columns)
    with mpl.rc_context(STYLE):
        figure = Figure((0.62 * columns + 0.4, 0.62 * rows + 0.7), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, kernel in zip(grid.flat, kernels, strict=False):
            if kernel.shape[-1] == 3:
                axes.imshow(_stretched(kernel), interpolation="nearest")
            else:
                mean = kernel.mean(axis=-1)
                reach = float(np.abs(mean).max()) or 1.0
                axes.imshow(mean, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
        height, width, channels = found.kernels.shape[1:]
        many = f"{len(kernels)} of {len(found.kernels)}" if len(found.kernels) > len(kernels) else str(len(kernels))
        colour = "in the colours they answer to" if channels == 3 else "mean over their channels, red above 0"
        figure.suptitle(
            f"{plain(title)}: {many} filters of {found.name}, {height} x {width} on {channels} channels, {colour}",
            fontsize=9,
        )
    return figure


def draw_maps(found: Convolution, crops: ImageU8, names: Sequence[str], title: str) -> Figure:
    """Each picture and the feature maps that differ most over it, the same ones for all pictures.

    Args:
        crops: uint8 RGB (N, size, size, 3), those of ``found.maps``.
        names: of the pictures.
    """
    spread = found.maps.std(axis=(1, 2)).mean(axis=0)
    chosen = np.argsort(-spread, kind="stable")[:MAPS]
    # A few pixels answer far more than all others: the brightest half percent is drawn alike.
    low, high = np.percentile(found.maps, (0, 99.5), axis=(0, 1, 2))
    with mpl.rc_context(STYLE):
        figure = Figure((1.25 * (1 + len(chosen)) + 0.2, 1.42 * len(crops) + 0.5), layout="constrained")
        grid = figure.subplots(len(crops), 1 + len(chosen), squeeze=False)
        for row, crop, maps, name in zip(grid, crops, found.maps, names, strict=True):
            for axes in row:
                axes.set_axis_off()
            row[0].imshow(crop)
            row[0].set_title(_short(name), fontsize=7)
            for axes, k in zip(row[1:], chosen, strict=True):
                axes.imshow(maps[..., k], cmap="gray", vmin=low[k], vmax=high[k])
                axes.set_title(f"filter {k + 1}", fontsize=7)
        figure.suptitle(
            f"{plain(title)}: feature maps of {found.name} ({found.maps.shape[1]} x {found.maps.shape[2]}), "
            "bright where the filter answers",
            fontsize=9,
        )
    return figure


def _stretched(kernel: Floats) -> Any:
    """A filter on three channels as colours: its least weight black, its largest full."""
    low, high = float(kernel.min()), float(kernel.max())
    return (kernel - low) / (high - low or 1.0)


def _short(name: str, most: int = 20) -> str:
    shown = plain(name)
    return shown if len(shown) <= most else shown[: most - 1] + "…"
