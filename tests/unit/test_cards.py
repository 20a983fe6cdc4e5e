"""A card is read whole and valid, or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.core.cards import ModelCard, sha256_of
from app.core.errors import UnmaskError

Fields = Callable[..., dict[str, Any]]


def _written(folder: Path, fields: dict[str, Any]) -> Path:
    path = folder / "card.json"
    path.write_text(json.dumps(fields), encoding="utf-8")
    return path


def _refusal(path: Path) -> str:
    with pytest.raises(UnmaskError) as caught:
        ModelCard.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_round_trip(tmp_path: Path, card_fields: Fields, make_card: Callable[..., ModelCard]) -> None:
    card = ModelCard.read(_written(tmp_path, card_fields()))
    assert card == make_card()
    card.write(tmp_path / "again.json")
    assert ModelCard.read(tmp_path / "again.json") == card
    assert json.loads((tmp_path / "again.json").read_text()) == card_fields()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.json", "card.json"]


def test_the_shipped_card_is_valid() -> None:
    path = Path(__file__).resolve().parents[2] / "weights" / "unmask-densenet121" / "card.json"
    assert ModelCard.read(path).name == path.parent.name


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"colour": "blue"}, "colour"),
        ({"thresholds": {"colour": 1}}, "thresholds.colour"),
        ({"schema": 2}, "schema"),
        ({"files": {"torch": {"name": "a", "sha256": "0" * 64}}}, "files.torch"),
        ({"files": {"keras": {"name": "a", "sha256": "0" * 63}}}, "sha256"),
        ({"preprocessing": {"size": 8}}, "preprocessing.size"),
        ({"preprocessing": {"crop_scale": 9}}, "preprocessing.crop_scale"),
        ({"calibration": {"slope": 0}}, "calibration.slope"),
        ({"calibration": {"slope": math.inf}}, "calibration.slope"),
        ({"calibration": {"offset": math.nan}}, "calibration.offset"),
        ({"thresholds": {"fake": 1.5}}, "thresholds.fake"),
        ({"thresholds": {"fake": math.nan}}, "thresholds.fake"),
        ({"thresholds": {"min_size_px": math.nan}}, "thresholds.min_size_px"),
        ({"thresholds": {"min_sharpness": math.nan}}, "thresholds.min_sharpness"),
        ({"thresholds": {"min_scores": 0}}, "thresholds.min_scores"),
        ({"thresholds": {"fake": 0.3, "real": 0.4}}, "must not exceed"),
    ],
)
def test_a_wrong_field_is_refused_by_name(
    tmp_path: Path, card_fields: Fields, change: dict[str, Any], named: str
) -> None:
    fields = card_fields()
    for key, value in change.items():
        fields[key] = {**fields[key], **value} if isinstance(value, dict) else value
    message = _refusal(_written(tmp_path, fields))
    assert "not a valid model card" in message
    assert named in message


@pytest.mark.parametrize("name", ["../x", "a/b", "/etc/passwd", "..", ".hidden", "", "a\\b", "a\n", "C:x"])
def test_a_name_cannot_leave_its_folder(tmp_path: Path, card_fields: Fields, name: str) -> None:
    assert "name" in _refusal(_written(tmp_path, card_fields(name=name)))
    files = {"keras": {"name": name, "sha256": "0" * 64}}
    assert "files.keras.name" in _refusal(_written(tmp_path, card_fields(files=files)))


@pytest.mark.parametrize("text", ["", "{", "[1, 2", "\xff\xfe"])
def test_what_is_no_json_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(text.encode("latin-1"))
    assert "not JSON" in _refusal(path)


@pytest.mark.parametrize("text", ["[]", "null", "3"])
def test_json_that_is_no_card_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "card.json"
    path.write_text(text)
    assert "not a valid model card" in _refusal(path)


def test_a_missing_card_is_told(tmp_path: Path) -> None:
    assert "cannot be read" in _refusal(tmp_path / "card.json")


def test_sha256_of_known_bytes() -> None:
    assert sha256_of(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
