"""``weights/NAME/`` and ``weights/consensus/``: find the models that are there, verify what is loaded, load it."""

from __future__ import annotations

import os
import shutil
import site
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from app.core.consensus import Consensus
from app.core.errors import UnmaskError
from app.models.ensemble import Ensemble
from app.models.runtimes import Classifier, OpenVINOClassifier, TensorFlowClassifier

if TYPE_CHECKING:
    from app.core.cards import ModelCard, WeightsFile


def _weights_folder() -> Path:
    """Beside the packages in a checkout; where a wheel puts its data otherwise."""
    checkout = Path(__file__).resolve().parents[2] / "weights"
    prefixes = (sys.prefix, site.getuserbase())
    installed = [Path(prefix) / "share" / "unmask" / "weights" for prefix in prefixes]
    return next((folder for folder in (checkout, *installed) if (folder / "mediapipe").is_dir()), checkout)


WEIGHTS = _weights_folder()
DEFAULT_MODEL = "unmask-densenet121"


def available(folder: Path = WEIGHTS) -> list[str]:
    """Names of the models in ``folder``."""
    # Hidden folders are those of an export that was killed.
    return sorted(path.parent.name for path in folder.glob("[!.]*/card.json"))


def read_card(name: str, folder: Path = WEIGHTS) -> ModelCard:
    """The card of model ``name``.

    Raises:
        UnmaskError: there is no such model, its card is not valid, or it or its folder is a link.
    """
    # pydantic takes a fifth of a second to import, and the window is there before any card is read.
    from app.core.cards import ModelCard

    there = available(folder)
    if name not in there:
        raise UnmaskError(f"{folder / name}: no model here; the models found are: {', '.join(there) or 'none'}")
    _no_link(folder / name)
    _no_link(folder / name / "card.json")
    card = ModelCard.read(folder / name / "card.json")
    if card.name != name:
        raise UnmaskError(f"{folder / name}: its card is that of {card.name}; restore the weights folder")
    return card


def read_consensus(names: Sequence[str], folder: Path = WEIGHTS) -> Consensus:
    """How the models ``names`` judge together: by fitted weights where there are some, else every one alike.

    Raises:
        UnmaskError: a model or the fitted weights cannot be read, or these were fitted with other models of that name.
    """
    cards = [read_card(name, folder) for name in names]
    path = consensus_path(names, folder)
    if len(cards) == 1 or not os.path.lexists(path):
        return Consensus.of(*cards)
    from app.core.cards import ConsensusCard

    _no_link(path.parent)
    _no_link(path)
    fitted = ConsensusCard.read(path)
    members = {member.name: member for member in fitted.members}
    if members.keys() != set(names):
        raise UnmaskError(f"{path}: names {', '.join(members)} as its models; {ConsensusCard.remedy}")
    for card in cards:
        member, keras = members[card.name], card.files.get("keras")
        if keras is None or (member.sha256, member.calibration) != (keras.sha256, card.calibration):
            raise UnmaskError(f"{path}: was fitted with another {card.name} than is here; {ConsensusCard.remedy}")
    return Consensus.of(*cards, fitted=fitted)


def consensus_path(names: Sequence[str], folder: Path = WEIGHTS) -> Path:
    """Where the weights fitted for these models lie, in whatever order they are named."""
    return folder / "consensus" / f"{'+'.join(sorted(names))}.json"


def fitted_together(folder: Path = WEIGHTS) -> list[Consensus]:
    """Every consensus in ``folder`` that weights were fitted for.

    Raises:
        UnmaskError: one of them, or a member, cannot be read.
    """
    return [read_consensus(path.stem.split("+"), folder) for path in sorted((folder / "consensus").glob("[!.]*.json"))]


def load_ensemble(
    consensus: Consensus, device: str = "auto", folder: Path = WEIGHTS, check: Callable[[], None] = lambda: None
) -> Ensemble:
    """All members of a consensus; see :func:`load_classifier`.

    Args:
        check: called after each of them is loaded; what it raises ends the loading.
    """
    loaded: list[Classifier] = []
    try:
        for card in consensus.cards:
            loaded.append(load_classifier(card, device, folder))
            check()
    except BaseException:
        for classifier in loaded:
            classifier.close()
        raise
    return Ensemble(consensus, loaded)


def load_classifier(card: ModelCard, device: str = "auto", folder: Path = WEIGHTS) -> Classifier:
    """The model of ``card``, on a GPU through TensorFlow or on the CPU through OpenVINO.

    Args:
        device: "cpu", "gpu", or "auto": a GPU where TensorFlow finds one.

    Raises:
        UnmaskError: a file is missing or was altered, or there is no GPU though one was asked for.
    """
    place = folder / card.name
    if device == "gpu" or (device == "auto" and _may_have_gpu()):
        if _tensorflow_finds_gpu():
            return TensorFlowClassifier(verified_path(card, "keras", folder), card.preprocessing.size)
        if device == "gpu":
            raise UnmaskError(
                "gpu: TensorFlow finds no GPU on this machine; choose cpu or auto as the device (--device cpu)"
            )
    try:
        xml, weights = card.files["openvino_xml"], card.files["openvino_bin"]
    except KeyError:
        raise UnmaskError(f"{place}: this model has no CPU form; make it with python -m train export") from None
    return OpenVINOClassifier(_verified(place, xml), _verified(place, weights), card.preprocessing.size, card.cpu_form)


def verified_path(
    card: ModelCard, form: Literal["keras", "openvino_xml", "openvino_bin"], folder: Path = WEIGHTS
) -> Path:
    """Path of one of a model's files, after its hash was found right.

    Raises:
        UnmaskError: it is missing or was altered, or the card names none.
    """
    if form not in card.files:
        raise UnmaskError(f"{folder / card.name}: this model's card names no {form} file; restore the weights folder")
    _verified(folder / card.name, card.files[form])
    return folder / card.name / card.files[form].name


def _verified(place: Path, file: WeightsFile) -> bytes:
    """The bytes of a weights file, if they are those the card names. What was hashed is what gets loaded."""
    from app.core.cards import sha256_of

    path = place / file.name
    _no_link(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnmaskError(f"{path}: the model's weights cannot be read ({error.strerror}); restore the file") from None
    if sha256_of(data) != file.sha256:
        raise UnmaskError(f"{path}: the weights are not those its card describes (sha256 differs); restore the file")
    return data


def _no_link(path: Path) -> None:
    """Make sure that what a model is made of lies in its own folder."""
    if path.is_symlink():
        raise UnmaskError(f"{path}: is a link to another place; put the file itself into the weights folder")


def _may_have_gpu() -> bool:
    """Whether it is worth the 9 seconds of importing TensorFlow to look for a GPU."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()


def _tensorflow_finds_gpu() -> bool:
    try:
        import tensorflow as tf
    except ImportError:
        return False
    return bool(tf.config.list_physical_devices("GPU"))
