"""``scores.csv``: what a model said of every picture, so that every measure can be worked out again without the model.

Columns ``path, split, label, source, logit``, and where they are known ``p, held_out, face_px, jpeg_quality``.
``train evaluate`` writes ``RUN/scores.csv``, ``train leave-out`` writes ``RUN/held-out-scores.csv``.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.core.errors import UnmaskError
from app.core.files import whole_file

REQUIRED = ("path", "split", "label", "source", "logit")
OPTIONAL = ("p", "held_out", "face_px", "jpeg_quality")


@dataclass(frozen=True, slots=True)
class Scored:
    """One picture and its score.

    Attributes:
        path: of the picture, relative to the data folder, with forward slashes.
        label: "real" or "fake".
        source: where the photograph is from, or which generator made the face.
        logit: of "AI-generated", raw (not calibrated), finite.
        p: calibrated probability of "AI-generated", [0, 1]; None where the model was not calibrated.
        held_out: the source that was left out of the training of the model behind this score; "" for none. Real and
            fake pictures scored by one such model share it: a generator left out is told from *those* real pictures.
        face_px: shorter side of the face's box, pixels.
        jpeg_quality: [1, 100], by the file's quantisation tables; None where the file is no JPEG.
    """

    path: str
    split: str
    label: str
    source: str
    logit: float
    p: float | None = None
    held_out: str = ""
    face_px: float | None = None
    jpeg_quality: int | None = None

    @property
    def target(self) -> int:
        return int(self.label == "fake")


def write_scores(path: Path, rows: Iterable[Scored]) -> None:
    """Write scores under a temporary name, then put them in place.

    Raises:
        UnmaskError: the file cannot be written.
    """
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((*REQUIRED, *OPTIONAL))
        for r in rows:
            extra = (_text(r.p, ".6f"), r.held_out, _text(r.face_px, ".2f"), _text(r.jpeg_quality, "d"))
            writer.writerow((r.path, r.split, r.label, r.source, f"{r.logit:.6f}", *extra))


def read_scores(path: Path) -> list[Scored]:
    """The inverse of :func:`write_scores`; columns that are not known here are passed over.

    Raises:
        UnmaskError: there is no such file, a column is missing, or a row is not what it should be.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [c for c in REQUIRED if c not in (reader.fieldnames or ())]
            if missing:
                raise UnmaskError(f"{path}: no column {', '.join(missing)}; give a file that train evaluate wrote")
            rows = []
            for row in reader:
                try:
                    rows.append(_scored(row))
                except (ValueError, TypeError) as error:
                    raise UnmaskError(
                        f"{path}, line {reader.line_num}: {error}; mend the line or run train evaluate again"
                    ) from None
    except OSError as error:
        raise UnmaskError(f"{path}: cannot be read ({error.strerror}); run train evaluate first") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnmaskError(f"{path}: is no table of scores ({error}); run train evaluate again") from None
    if not rows:
        raise UnmaskError(f"{path}: holds no scores; run train evaluate again")
    return rows


def arrays(rows: Sequence[Scored]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Targets int64 (N,), 1 = fake, and raw logits float64 (N,)."""
    return np.asarray([r.target for r in rows], np.int64), np.asarray([r.logit for r in rows], np.float64)


def _scored(row: dict[str, str | None]) -> Scored:
    label, logit, p = row["label"] or "", float(row["logit"] or "nan"), _number(row.get("p"))
    if label not in ("real", "fake"):
        raise ValueError(f"the label is {label!r}, not real or fake")
    if not math.isfinite(logit):
        raise ValueError("the logit is not a finite number")
    if p is not None and not 0 <= p <= 1:
        raise ValueError(f"the probability {p} lies outside 0 .. 1")
    quality = _number(row.get("jpeg_quality"))
    return Scored(
        path=row["path"] or "",
        split=row["split"] or "",
        label=label,
        source=row["source"] or "",
        logit=logit,
        p=p,
        held_out=row.get("held_out") or "",
        face_px=_number(row.get("face_px")),
        jpeg_quality=None if quality is None else int(quality),
    )


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def _text(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
