"""Ensembles of made-up classifiers."""

from __future__ import annotations

from app.core.cards import ConsensusCard, ModelCard
from app.core.consensus import Consensus
from app.models.ensemble import Ensemble
from app.models.runtimes import Classifier


def alone(classifier: Classifier, card: ModelCard) -> Ensemble:
    """The consensus of one."""
    return together((classifier, card))


def together(*members: tuple[Classifier, ModelCard], fitted: ConsensusCard | None = None) -> Ensemble:
    """Several that judge together."""
    return Ensemble(Consensus.of(*(card for _, card in members), fitted=fitted), [member for member, _ in members])
