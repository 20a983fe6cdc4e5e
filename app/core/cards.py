"""ModelCard and ConsensusCard: what must travel with a model's weights, and with the weights of several models."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.core.errors import UnmaskError
from app.core.files import ANOTHER_WEIGHTS, write_whole

Probability = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _CardFile(_Part):
    """A card as it lies in the weights folder."""

    what: ClassVar[str]
    remedy: ClassVar[str]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and validate a card.

        Raises:
            UnmaskError: the card is missing, is not JSON, or does not follow the schema.
        """
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise UnmaskError(
                f"{path}: the {cls.what} cannot be read ({error.strerror}); check the weights folder"
            ) from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "card"
            raise UnmaskError(f"{path}: not a valid {cls.what} ({where}: {first['msg']}); {cls.remedy}") from None
        except ValueError:
            raise UnmaskError(f"{path}: not a valid {cls.what} (not JSON); {cls.remedy}") from None

    def write(self, path: Path) -> None:
        """Raises: UnmaskError, if the file cannot be written."""
        write_whole(path, self.model_dump_json(by_alias=True, indent=2) + "\n", ANOTHER_WEIGHTS)


class WeightsFile(_Part):
    """A file beside the card; a bare name, so that a card cannot point outside its folder."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Preprocessing(_Part):
    """How a face becomes the model's input: see :func:`app.core.crops.crop_face`.

    Where there is a ``second_scale``, the model looks twice, the second time at that scale and mirrored: see
    :mod:`app.models.views`.
    """

    size: int = Field(ge=32, le=2048)
    crop_scale: float = Field(ge=0.5, le=4)
    second_scale: float | None = Field(default=None, ge=0.5, le=4)


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


class ModelCard(_CardFile):
    """``weights/NAME/card.json``.

    ``files`` has the keys ``keras`` and, for the CPU form, ``openvino_xml`` and ``openvino_bin``.
    """

    what: ClassVar[str] = "model card"
    remedy: ClassVar[str] = "restore the weights folder"

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


class Member(_Part):
    """A model of a consensus, as it was when the weights were fitted.

    Attributes:
        sha256: of its Keras file, as its card names it.
        calibration: of its card; the weights were fitted on log-odds that it calibrated.
        weight: its share in the consensus.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    calibration: Calibration
    weight: Probability


class ConsensusCard(_CardFile):
    """``weights/consensus/A+B.json``: how the models A and B judge together, fitted by ``train consensus``.

    The consensus is the weighted mean of the members' calibrated log-odds, which ``calibration`` calibrates again.
    """

    what: ClassVar[str] = "consensus card"
    remedy: ClassVar[str] = "run python -m train consensus again, or remove the file to let every model count alike"

    schema_version: Literal[1] = Field(alias="schema")
    members: tuple[Member, ...] = Field(min_length=2)
    calibration: Calibration
    thresholds: Thresholds
    created: str
    method: str
    conclusion: str
    metrics: dict[str, dict[str, float | int | None]]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len({member.name for member in self.members}) < len(self.members):
            raise ValueError("a member is named twice")
        if abs(sum(member.weight for member in self.members) - 1) > 1e-3:
            raise ValueError("the weights must add up to 1")
        return self


def sha256_of(data: bytes) -> str:
    """Hex digest of ``data``."""
    return hashlib.sha256(data).hexdigest()
