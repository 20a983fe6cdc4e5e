"""Learned noise pattern, amplitude and phase of every face as pictures, and a figure.

They are what an ``lnp_fusion`` of the same size, crop scale, segmenter and denoiser sees; its preset's are smaller.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from rich.progress import track

from app.core.crops import crop_face
from app.core.errors import UnmaskError
from app.core.files import write_whole
from app.core.records import ImageU8
from train.config import IN_MODEL
from train.datasets import Sample, limited
from train.figures import write_png
from train.pipeline import plain_crops, read_picture
from train.prepare import prepared_samples
from train.runs import Interruption
from train.segment import cut_out, picture_names, write_picture

if TYPE_CHECKING:
    import keras

KINDS = ("lnp", "amplitude", "phase")
FIGURE = "features.png"
BATCH = 16
LNP_GAIN = 16.0
"""Grey levels in a picture for one of noise: noise beyond 8 either way is cut off."""
AMPLITUDE_END = 1.5
"""log(1 + amplitude ** 0.8) that is drawn white."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the pictures depend on; kept in ``features.json``. The names are those of :class:`train.config.FitConfig`.

    The defaults show more of a face than the preset of ``lnp_fusion`` sees, 192 px at a crop scale of 1.1.

    Raises:
        UnmaskError: a size that the model does not take.
    """

    size: int = 256
    crop_scale: float = 1.5
    segmenter: str = "landmarks"
    denoiser: str = "dncnn"

    def __post_init__(self) -> None:
        if self.size < 32 or not 0.5 <= self.crop_scale <= 4:
            raise UnmaskError("--size must be at least 32 and --crop-scale lie in 0.5 .. 4")


def features(data: Path, run: Path, settings: Settings, *, limit: int | None = None, shown: int = 6) -> Path:
    """Write ``run/lnp``, ``run/amplitude`` and ``run/phase``, each with ``SPLIT/LABEL/NAME.png``, and a figure.

    Pictures that are there are kept. LNP is RGB around a middle grey, :data:`LNP_GAIN` times enhanced; amplitude and
    phase are grey, frequency 0 in the centre, the one logarithmic, the other from black, -pi, to white, pi. They are
    rounded to 8 bits, for people and for other programs; the model computes its own.

    Args:
        data: a folder that ``train prepare`` wrote, or pictures in any layout that it reads.
        limit: pictures of each split at most; None takes all.
        shown: rows of the figure, half of them real.

    Returns:
        The path of the figure.

    Raises:
        UnmaskError: the data or the denoiser cannot be used, or ``run`` holds features with other settings.
    """
    run.mkdir(parents=True, exist_ok=True)
    _claim(run / "features.json", settings)
    samples = limited(prepared_samples(data, run), limit)
    names = picture_names(samples)
    seen = samples
    if settings.segmenter not in IN_MODEL:
        seen = cut_out(samples, run / "cut-out", settings.segmenter)
    missing = [i for i, name in enumerate(names) if not all(p.is_file() for p in _paths(run, name))]
    if missing:
        model = _model(settings)
        with Interruption() as interruption:
            for start in track(range(0, len(missing), BATCH), description="noise and spectra"):
                part = missing[start : start + BATCH]
                crops = plain_crops([seen[i] for i in part], settings.size, settings.crop_scale)
                # The last batch is filled up: another shape would be another graph.
                filled = np.concatenate([crops, np.zeros((BATCH - len(part), *crops.shape[1:]), np.uint8)])
                lnp, spectrum = (np.asarray(v)[: len(part)] for v in model.predict_on_batch(filled))
                for row, i in enumerate(part):
                    for path, picture in zip(_paths(run, names[i]), pictures(lnp[row], spectrum[row]), strict=True):
                        write_picture(path, picture)
                interruption.raise_if_asked()
    chosen = _chosen(samples, shown)
    figure = draw([(samples[i], seen[i], _paths(run, names[i])) for i in chosen], settings)
    write_png(run / FIGURE, figure)
    return run / FIGURE


def pictures(lnp: Floats, spectrum: Floats) -> tuple[ImageU8, ImageU8, ImageU8]:
    """LNP, uint8 BGR (S, S, 3), amplitude and phase, uint8 (S, S), to look at.

    Args:
        lnp: (S, S, 3) RGB, grey levels around 0.
        spectrum: (S, S, 2) as :class:`app.models.layers.Spectrum` gives it.
    """
    shares = (
        0.5 + LNP_GAIN * lnp[..., ::-1] / 255,
        np.log1p(spectrum[..., 0]) / AMPLITUDE_END,
        0.5 + spectrum[..., 1] / (2 * np.pi),
    )
    first, second, third = (np.asarray(np.clip(255 * share + 0.5, 0, 255), np.uint8) for share in shares)
    return first, second, third


def draw(rows: Sequence[tuple[Sample, Sample, Sequence[Path]]], settings: Settings) -> Figure:
    """A row each sample: the picture, the face's crop as a model of these settings uses it, and its three pictures.

    Args:
        rows: the sample, the same as its picture is shown to the model, and the files of its pictures.
    """
    titles = ("picture", f"face, {settings.segmenter}", "learned noise pattern", "amplitude", "phase")
    figure = Figure((2.1 * len(titles), 2.1 * len(rows) + 0.4), layout="constrained")
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    for line, (sample, seen, files) in zip(grid, rows, strict=True):
        assert sample.box is not None
        crop = crop_face(read_picture(seen), sample.box, settings.size, settings.crop_scale)
        shown = [read_picture(sample)[..., ::-1], _masked(crop, settings)]
        shown += [read_picture(replace(sample, path=path))[..., ::-1] for path in files]
        for axes, picture in zip(line, shown, strict=True):
            axes.imshow(picture, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(f"{sample.label}\n{sample.source}"[:40], fontsize=8)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=9)
    return figure


def _model(settings: Settings) -> keras.Model:
    """uint8 RGB (N, S, S, 3) -> LNP and spectrum, as inside the model."""
    import keras

    from train.zoo.lnp_fusion import noise_and_spectrum

    crops = keras.Input((settings.size, settings.size, 3), dtype="uint8")
    seen = noise_and_spectrum(crops, settings.crop_scale, settings.segmenter, settings.denoiser)
    return keras.Model(crops, list(seen))


def _masked(crop: ImageU8, settings: Settings) -> ImageU8:
    from app.models.layers import FaceEllipse

    if settings.segmenter != "landmarks":
        return crop
    mask = FaceEllipse(settings.crop_scale).mask(*crop.shape[:2])
    return np.asarray(crop * mask[..., None], np.uint8)


def _chosen(samples: Sequence[Sample], count: int) -> list[int]:
    """Indices of real and fake pictures in turn, each taken evenly over its list: from all sources, if they suffice."""
    found: list[int] = []
    for target in (0, 1):
        own = [i for i, s in enumerate(samples) if s.target == target]
        share = min(len(own), (count + 1 - target) // 2)
        found += [own[k * len(own) // share] for k in range(share)]
    return found


def _paths(run: Path, name: str) -> list[Path]:
    return [run / kind / f"{name}.png" for kind in KINDS]


def _claim(path: Path, settings: Settings) -> None:
    """Keep the settings; pictures made with others must not lie among these."""
    own: dict[str, Any] = {"schema": 1, **asdict(settings)}
    try:
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else own
    except (OSError, ValueError):
        before = None
    if before != own:
        raise UnmaskError(f"{path.parent}: holds features with other settings (features.json); name another --run")
    write_whole(path, json.dumps(own, indent=2) + "\n")
