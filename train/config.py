"""What a training run is told: plain data, from a TOML preset and flags, kept in the run folder."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from app.core.cards import Preprocessing
from app.core.errors import UnmaskError
from app.core.files import write_whole

PRESETS = Path(__file__).parent / "presets"
CARD = "card"
"""Presets whose name begins so are the words of a model card, not settings."""
ARCHS = ("mobilenet_v2", "resnet50")
SEGMENTERS = ("none", "landmarks", "mediapipe", "mobilesam")
IN_MODEL = ("none", "landmarks")
"""Segmenters that are a part of the model, or no part of anything: the app runs models with these."""
DENOISERS = ("dncnn", "cycleisp")
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "a text"),
    "int": ((int,), "a whole number"),
    "int | None": ((int, type(None)), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "tuple[str, ...]": ((list,), "a list of texts"),
}
"""By the type of a field: what a file may hold for it, and what that is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """One training run.

    Attributes:
        model: family in ``train.zoo``.
        arch: backbone of ``lnp_fusion``, ``mobilenet_v2`` or ``resnet50``.
        mode: of ``lnp_fusion``: how noise, amplitude and phase are fused, 0, 1 or 2.
        segmenter: of ``lnp_fusion``: what cuts the face out. ``landmarks`` keeps, inside the model, the noise of the
            ellipse where the face is in every crop; ``mediapipe`` and ``mobilesam`` cut each picture beforehand and
            can be trained and measured, not exported; ``none`` takes the whole crop.
        denoiser: of ``lnp_fusion``: where the noise comes from, ``dncnn`` or ``cycleisp``.
        size: side of the crops, pixels.
        crop_scale: side of the crop over the longer side of the face's box.
        second_scale: scale of a second, mirrored crop whose logit is averaged with the first's wherever the finished
            model is asked (``app.models.views``); 0 for none.
        scale_range: training crops are drawn between ``crop_scale / scale_range`` and ``crop_scale * scale_range``.
        strength: of the degradations, [0, 1] (``train.augment.Policy``).
        h264: share of the training crops that go through H.264, [0, 1].
        toned: share of the degraded ones that take the colours of a picture of the other class, [0, 1].
        source_balance: 0 shows the sources of a class by their size, 1 alike.
        even_batches: every batch is half photographs, not only every epoch.
        self_blended: share of the fakes that are self-blended photographs, [0, 1].
        reconstructed: share of the fakes that are photographs drawn again by small autoencoders, [0, 1].
        leave_out: sources that training and validation never see, for ``train leave-out``.
        share: of the training pictures of each source that are used, (0, 1], for a learning curve.
        epochs: passes over the training split at most.
        patience: epochs without a better validation AUC before stopping early.
        batch: pictures a step.
        head_steps: steps in which the new top alone learns, before everything does.
        frozen_batch_norm: keep the statistics and scales of batch normalization as they came: more than twice as fast
            on a CPU, and the score of a picture never depends on the batch it trained in.
        ema: decay of the moving average of the weights that is validated and kept, [0, 1); 0 keeps the last weights.
        learning_rate: the peak, after the warm-up and before the cosine.
        warmup: share of all steps, [0, 1).
        weight_decay: AdamW's (Loshchilov and Hutter, ICLR 2019), not on biases and batch norms.
        mixed_precision: compute in bfloat16 where that is faster, keep variables and the logit in float32.
        seed: of the data order, the augmentation and the initial top.
        limit: pictures of each split at most, for a trial; None takes all.
        checkpoint_minutes: time between checkpoints within an epoch.
    """

    model: str = "densenet121"
    arch: str = "mobilenet_v2"
    mode: int = 0
    segmenter: str = "landmarks"
    denoiser: str = "dncnn"
    size: int = 224
    crop_scale: float = 1.5
    second_scale: float = 0.0
    scale_range: float = 1.0
    strength: float = 1.0
    h264: float = 0.0
    toned: float = 0.0
    source_balance: float = 0.0
    even_batches: bool = False
    self_blended: float = 0.0
    reconstructed: float = 0.0
    leave_out: tuple[str, ...] = ()
    share: float = 1.0
    epochs: int = 5
    patience: int = 3
    batch: int = 32
    head_steps: int = 0
    frozen_batch_norm: bool = False
    ema: float = 0.0
    learning_rate: float = 2e-4
    warmup: float = 0.08
    weight_decay: float = 0.02
    mixed_precision: bool = True
    seed: int = 1
    limit: int | None = None
    checkpoint_minutes: float = 4.0

    def __post_init__(self) -> None:
        problems = [
            text
            for bad, text in (
                (self.arch not in ARCHS, f"--arch must be one of {', '.join(ARCHS)}"),
                (self.mode not in (0, 1, 2), "--mode must be 0, 1 or 2"),
                (self.segmenter not in SEGMENTERS, f"--segmenter must be one of {', '.join(SEGMENTERS)}"),
                (self.denoiser not in DENOISERS, f"--denoiser must be one of {', '.join(DENOISERS)}"),
                (self.size < 32, "--size must be at least 32"),
                (not 0.5 <= self.crop_scale <= 4, "--crop-scale must lie in 0.5 .. 4"),
                (self.second_scale != 0 and not 0.5 <= self.second_scale <= 4, "--second-scale must lie in 0.5 .. 4"),
                (not 1 <= self.scale_range <= 2, "--scale-range must lie in 1 .. 2"),
                (not 0 < self.share <= 1, "--share must lie in 0 .. 1"),
                (
                    self.self_blended + self.reconstructed > 0.9,
                    "--self-blended and --reconstructed leave no room for the fakes of the data; lower them",
                ),
                (self.head_steps < 0, "--head-steps must not be negative"),
                (not 0 <= self.ema < 1, "--ema must lie in 0 .. 1"),
                *(
                    (not 0 <= getattr(self, name) <= 1, f"--{name.replace('_', '-')} must lie in 0 .. 1")
                    for name in ("strength", "h264", "toned", "source_balance", "self_blended", "reconstructed")
                ),
                (self.epochs < 1, "--epochs must be at least 1"),
                (self.patience < 1, "--patience must be at least 1"),
                (self.batch < 2, "--batch must be at least 2"),
                (not 0 < self.learning_rate < 1, "--learning-rate must lie in 0 .. 1"),
                (not 0 <= self.warmup < 1, "--warmup must lie in 0 .. 1"),
                (not 0 <= self.seed < 2**32, "--seed must lie in 0 .. 4294967295"),
                (self.limit is not None and self.limit < 4, "--limit must be at least 4"),
            )
            if bad
        ]
        if problems:
            raise UnmaskError("; ".join(problems))

    @property
    def preprocessing(self) -> Preprocessing:
        """How faces are cut for the finished model."""
        return Preprocessing(size=self.size, crop_scale=self.crop_scale, second_scale=self.second_scale or None)

    @classmethod
    def from_preset(cls, name: str, overrides: dict[str, Any]) -> Self:
        """The preset ``train/presets/NAME.toml`` or a TOML file of one's own, with ``overrides`` on top.

        Raises:
            UnmaskError: no such preset, a key that is not an option, or a value that cannot be its.
        """
        path = Path(name) if name.endswith(".toml") else PRESETS / f"{name}.toml"
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError:
            known = ", ".join(sorted(p.stem for p in PRESETS.glob("*.toml") if not p.stem.startswith(CARD)))
            raise UnmaskError(f"{path}: no such preset; the known ones are {known}") from None
        except ValueError as error:
            raise UnmaskError(f"{path}: not valid TOML in UTF-8 ({error}); mend that place") from None
        problems = _problems(values)
        if problems:
            raise UnmaskError(f"{path}: {', '.join(problems)}; see python -m train fit --help")
        options = {**values, **overrides}
        return cls(**{**options, "leave_out": tuple(options.get("leave_out", ()))})

    def write(self, path: Path) -> None:
        """Raises: UnmaskError, if the file cannot be written."""
        write_whole(path, json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """The inverse of :meth:`write`.

        Raises:
            OSError: there is no such file.
            UnmaskError: it does not hold the settings of a run.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            problems = _problems(values)
            if problems:
                raise ValueError(", ".join(problems))
            return cls(**{**values, "leave_out": tuple(values.get("leave_out", ()))})
        except (ValueError, UnmaskError) as error:
            raise UnmaskError(
                f"{path}: not the settings of a run ({error}); restore it, or train into another --run"
            ) from None


def _problems(values: Any) -> list[str]:
    """Why what a file holds cannot be options of :class:`FitConfig`, whatever their size."""
    if not isinstance(values, dict):
        return ["no options in it"]
    kinds = {f.name: _KINDS[str(f.type)] for f in dataclasses.fields(FitConfig)}
    unknown = sorted(set(values) - set(kinds))
    wrong = [
        f"{name} must be {words}"
        for name, (types, words) in kinds.items()
        if name in values and (type(values[name]) not in types or not _texts(values[name]))
    ]
    return [f"unknown option {', '.join(unknown)}"] * bool(unknown) + wrong


def _texts(value: object) -> bool:
    """Whether a list, if it is one, holds texts alone."""
    return not isinstance(value, list) or all(isinstance(item, str) for item in value)
