"""ModelCard: everything that must travel with a model's weights, in ``weights/NAME/card.json``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.core.errors import UnmaskError

Probability = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WeightsFile(_Part):
    """A file beside the card; a bare name, so that a card cannot point outside its folder."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Preprocessing(_Part):
    """How a face becomes the model's input: see :func:`app.core.crops.crop_face`."""

    size: int = Field(ge=32, le=2048)
    crop_scale: float = Field(ge=0.5, le=4)


class Calibration(_Part):
    """Platt scaling (Platt, 1999): calibrated logit = ``slope`` * logit + ``offset``; ``slope`` > 0."""

    slope: float = Field(gt=0, allow_inf_nan=False)
    offset: float = Field(allow_inf_nan=False)
    method: str
    fitted_on: str


class Thresholds(_Part):
    """Where verdicts change, and what a face needs to be judged at all.

    ``p_fake >= fake`` says AI-GENERATED, ``p_fake <= real`` says REAL, CAN'T TELL lies between.
    """

    fake: Probability
    real: Probability
    min_size_px: float = Field(ge=0)
    min_sharpness: float = Field(ge=0)
    min_brightness: float = Field(ge=0, le=255)
    max_brightness: float = Field(ge=0, le=255)
    max_yaw: float = Field(ge=0, le=1)
    min_scores: int = Field(ge=1)
    chosen: str

    @model_validator(mode="after")
    def _ordered(self) -> Thresholds:
        if self.real > self.fake:
            raise ValueError("the threshold of REAL must not exceed that of AI-GENERATED")
        return self


class ModelCard(_Part):
    """The card. ``files`` has the keys ``keras`` and, for the CPU form, ``openvino_xml`` and ``openvino_bin``."""

    schema_version: Literal[1] = Field(alias="schema")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    family: str
    created: str
    summary: str
    files: dict[Literal["keras", "openvino_xml", "openvino_bin"], WeightsFile]
    cpu_form: str
    preprocessing: Preprocessing
    calibration: Calibration
    thresholds: Thresholds
    data: dict[str, str | int | float]
    training: dict[str, str | int | float | bool | None]
    metrics: dict[str, dict[str, float | int | None]]
    intended_use: str
    limits: list[str]
    terms: str

    @classmethod
    def read(cls, path: Path) -> ModelCard:
        """Read and validate a card.

        Raises:
            UnmaskError: the card is missing, is not JSON, or does not follow the schema.
        """
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise UnmaskError(
                f"{path}: the model's card cannot be read ({error.strerror}); check the weights folder"
            ) from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "card"
            raise UnmaskError(
                f"{path}: not a valid model card ({where}: {first['msg']}); restore the weights folder"
            ) from None
        except ValueError:
            raise UnmaskError(f"{path}: not a valid model card (not JSON); restore the weights folder") from None

    def write(self, path: Path) -> None:
        partial = path.with_suffix(".partial")
        partial.write_text(self.model_dump_json(by_alias=True, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)


def sha256_of(data: bytes) -> str:
    """Hex digest of ``data``."""
    return hashlib.sha256(data).hexdigest()
