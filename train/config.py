"""What a training run is told: plain data, from a TOML preset and flags, kept in the run folder."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from app.core.errors import UnmaskError

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """One training run.

    Attributes:
        model: family in ``train.zoo``.
        size: side of the crops, pixels.
        crop_scale: side of the crop over the longer side of the face's box.
        epochs: passes over the training split at most.
        patience: epochs without a better validation AUC before stopping early.
        batch: pictures a step.
        learning_rate: the peak, after the warm-up and before the cosine.
        warmup: share of all steps, [0, 1).
        weight_decay: AdamW's (Loshchilov and Hutter, ICLR 2019), not on biases and batch norms.
        mixed_precision: compute in bfloat16, keep variables and the logit in float32.
        seed: of the data order, the augmentation and the initial top.
        limit: pictures of each split at most, for a trial; None takes all.
        checkpoint_minutes: time between checkpoints within an epoch.
    """

    model: str = "densenet121"
    size: int = 224
    crop_scale: float = 1.5
    epochs: int = 5
    patience: int = 3
    batch: int = 32
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
                (self.size < 32, "--size must be at least 32"),
                (not 0.5 <= self.crop_scale <= 4, "--crop-scale must lie in 0.5 .. 4"),
                (self.epochs < 1, "--epochs must be at least 1"),
                (self.patience < 1, "--patience must be at least 1"),
                (self.batch < 2, "--batch must be at least 2"),
                (not 0 < self.learning_rate < 1, "--learning-rate must lie in 0 .. 1"),
                (not 0 <= self.warmup < 1, "--warmup must lie in 0 .. 1"),
                (self.limit is not None and self.limit < 4, "--limit must be at least 4"),
            )
            if bad
        ]
        if problems:
            raise UnmaskError("; ".join(problems))

    @classmethod
    def from_preset(cls, name: str, overrides: dict[str, Any]) -> Self:
        """The preset ``train/presets/NAME.toml`` or a TOML file of one's own, with ``overrides`` on top.

        Raises:
            UnmaskError: no such preset, or a key that is not an option.
        """
        path = Path(name) if name.endswith(".toml") else PRESETS / f"{name}.toml"
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError:
            known = ", ".join(sorted(p.stem for p in PRESETS.glob("*.toml")))
            raise UnmaskError(f"{path}: no such preset; the known ones are {known}") from None
        except tomllib.TOMLDecodeError as error:
            raise UnmaskError(f"{path}: not valid TOML ({error}); mend that line") from None
        unknown = sorted(set(values) - {f.name for f in dataclasses.fields(cls)})
        if unknown:
            raise UnmaskError(f"{path}: unknown option {', '.join(unknown)}; see python -m train fit --help")
        return cls(**{**values, **overrides})

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls(**json.loads(path.read_text(encoding="utf-8")))
