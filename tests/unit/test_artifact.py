"""Only the files that a card names, as it describes them, are loaded."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.core.cards import ModelCard, sha256_of
from app.core.errors import UnmaskError
from app.models import artifact
from app.models.artifact import available, load_classifier, read_card, verified_path

Fields = Callable[..., dict[str, Any]]
CONTENT = {"model.keras": b"keras", "model.xml": b"<net/>", "model.bin": b"\x00\x01"}
KEYS = {"model.keras": "keras", "model.xml": "openvino_xml", "model.bin": "openvino_bin"}


@pytest.fixture
def weights(tmp_path: Path, card_fields: Fields) -> Path:
    """A folder with one model, "tiny", whose files are dummies with the right hashes."""
    place = tmp_path / "weights" / "tiny"
    place.mkdir(parents=True)
    files = {}
    for name, data in CONTENT.items():
        (place / name).write_bytes(data)
        files[KEYS[name]] = {"name": name, "sha256": sha256_of(data)}
    (place / "card.json").write_text(json.dumps(card_fields(files=files)))
    return tmp_path / "weights"


class _Loaded:
    """Stands in for a runtime and keeps what it was given."""

    def __init__(self, *given: Any) -> None:
        self.given = given


@pytest.fixture
def loaders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact, "OpenVINOClassifier", _Loaded)
    monkeypatch.setattr(artifact, "TensorFlowClassifier", _Loaded)


def _refusal(work: Callable[[], object]) -> str:
    with pytest.raises(UnmaskError) as caught:
        work()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_models_are_found_and_read(weights: Path) -> None:
    (weights / "mediapipe").mkdir()
    assert available(weights) == ["tiny"]
    assert read_card("tiny", weights).name == "tiny"


def test_an_unknown_model_names_those_that_are_there(weights: Path, tmp_path: Path) -> None:
    assert _refusal(lambda: read_card("huge", weights)).endswith("the models found are: tiny")
    assert _refusal(lambda: read_card("huge", tmp_path / "empty")).endswith("the models found are: none")


@pytest.mark.parametrize("name", ["../outside", "tiny/../tiny", "./tiny", "..", ".", "", "tiny/", "a\0b"])
def test_a_name_cannot_leave_the_folder(weights: Path, name: str) -> None:
    """Even where there is a valid card at that place."""
    outside = weights.parent / "outside"
    outside.mkdir()
    for place in (outside, weights, weights.parent):
        (place / "card.json").write_bytes((weights / "tiny" / "card.json").read_bytes())
    assert "no model here" in _refusal(lambda: read_card(name, weights))


def test_an_absolute_path_is_no_name(weights: Path) -> None:
    assert "no model here" in _refusal(lambda: read_card(str(weights / "tiny"), weights))


def test_a_card_in_another_models_folder_is_refused(weights: Path) -> None:
    (weights / "tiny").rename(weights / "other")
    assert "its card is that of tiny" in _refusal(lambda: read_card("other", weights))


def test_the_cpu_form_gets_the_bytes_that_were_hashed(weights: Path, loaders: None) -> None:
    classifier = load_classifier(read_card("tiny", weights), "cpu", weights)
    assert isinstance(classifier, _Loaded)
    assert classifier.given == (b"<net/>", b"\x00\x01", 64, "FP16")


def test_auto_takes_the_gpu_where_there_is_one(weights: Path, loaders: None, monkeypatch: pytest.MonkeyPatch) -> None:
    card = read_card("tiny", weights)
    monkeypatch.setattr(artifact, "_may_have_gpu", lambda: True)
    monkeypatch.setattr(artifact, "_tensorflow_finds_gpu", lambda: True)
    on_gpu = load_classifier(card, "auto", weights)
    assert isinstance(on_gpu, _Loaded)
    assert on_gpu.given == (weights / "tiny" / "model.keras", 64)
    monkeypatch.setattr(artifact, "_tensorflow_finds_gpu", lambda: False)
    on_cpu = load_classifier(card, "auto", weights)
    assert isinstance(on_cpu, _Loaded)
    assert on_cpu.given[0] == b"<net/>"
    assert "finds no GPU" in _refusal(lambda: load_classifier(card, "gpu", weights))


@pytest.mark.parametrize("name", ["model.xml", "model.bin"])
def test_an_altered_file_is_refused(weights: Path, loaders: None, name: str) -> None:
    card = read_card("tiny", weights)
    (weights / "tiny" / name).write_bytes(CONTENT[name] + b" ")
    message = _refusal(lambda: load_classifier(card, "cpu", weights))
    assert message.startswith(f"{weights / 'tiny' / name}: ")
    assert "sha256 differs" in message


@pytest.mark.parametrize("name", ["model.xml", "model.bin"])
def test_a_missing_file_is_refused(weights: Path, loaders: None, name: str) -> None:
    card = read_card("tiny", weights)
    (weights / "tiny" / name).unlink()
    message = _refusal(lambda: load_classifier(card, "cpu", weights))
    assert message.startswith(f"{weights / 'tiny' / name}: ")
    assert "No such file" in message


def test_the_keras_file_is_verified_too(weights: Path) -> None:
    card = read_card("tiny", weights)
    assert verified_path(card, "keras", weights) == weights / "tiny" / "model.keras"
    (weights / "tiny" / "model.keras").write_bytes(b"other")
    assert "sha256 differs" in _refusal(lambda: verified_path(card, "keras", weights))


def _without(card: ModelCard, *keys: str) -> ModelCard:
    return card.model_copy(update={"files": {k: v for k, v in card.files.items() if k not in keys}})


def test_a_model_without_the_form_asked_for_is_told(weights: Path, loaders: None) -> None:
    card = read_card("tiny", weights)
    for missing in ("openvino_xml", "openvino_bin"):
        bare = _without(card, missing)
        assert "no CPU form" in _refusal(lambda bare=bare: load_classifier(bare, "cpu", weights))  # type: ignore[misc]
    assert "keras" in _refusal(lambda: verified_path(_without(card, "keras"), "keras", weights))


@pytest.mark.parametrize("name", ["model.xml", "model.bin", "card.json"])
def test_a_link_is_refused_even_to_the_right_bytes(weights: Path, loaders: None, name: str) -> None:
    inside = weights / "tiny" / name
    inside.rename(weights / "elsewhere")
    inside.symlink_to(weights / "elsewhere")
    message = _refusal(lambda: load_classifier(read_card("tiny", weights), "cpu", weights))
    assert message.startswith(f"{inside}: is a link")


def test_a_linked_folder_is_refused(weights: Path, tmp_path: Path) -> None:
    (weights / "tiny").rename(tmp_path / "tiny")
    (weights / "tiny").symlink_to(tmp_path / "tiny")
    assert "is a link" in _refusal(lambda: read_card("tiny", weights))


@pytest.mark.parametrize("name", ["../model.bin", "/etc/passwd", "sub/model.bin", "..", ".hidden", "a\0b", ""])
def test_a_card_cannot_point_out_of_its_folder(weights: Path, card_fields: Fields, name: str) -> None:
    files = {key: {"name": name, "sha256": "0" * 64} for key in KEYS.values()}
    (weights / "tiny" / "card.json").write_text(json.dumps(card_fields(files=files)))
    assert "not a valid model card" in _refusal(lambda: read_card("tiny", weights))


class _Trap:
    """What a pickle runs when it is loaded."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return (os.mkdir, (os.environ["UNMASK_TEST_TRAP"],))


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_a_pickle_is_refused_and_not_run(
    weights: Path, card_fields: Fields, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    """Though its hash is right: the card came with it."""
    monkeypatch.setenv("UNMASK_TEST_TRAP", str(tmp_path / "trap"))
    monkeypatch.setattr(artifact, "_tensorflow_finds_gpu", lambda: True)
    data = pickle.dumps(_Trap())
    files = {}
    for name, key in KEYS.items():
        (weights / "tiny" / name).write_bytes(data)
        files[key] = {"name": name, "sha256": sha256_of(data)}
    (weights / "tiny" / "card.json").write_text(json.dumps(card_fields(files=files)))
    refusal = _refusal(lambda: load_classifier(read_card("tiny", weights), device, weights))
    assert refusal.endswith(("; restore the weights folder", "; restore the file"))
    assert not (tmp_path / "trap").exists()
