"""How much each of several models counts where they judge together: fitted on the validation split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from app.core.cards import Calibration, ConsensusCard, Member, ModelCard
from app.core.consensus import Consensus, strictest
from app.core.files import ANOTHER_WEIGHTS, cannot_write
from app.core.records import Verdict, Vote
from app.core.scoring import LOGIT_LIMIT, sigmoid, verdict_of
from train import calibrate, metrics
from train.metrics import Estimate, Floats

PULL = 0.5
"""Price, in nats of log-loss, of the squared distances of the coefficients from their mean. One validation split says
little of which model will do better on unfamiliar pictures: to leave equal weights has to be worth much."""
RIDGE = 1e-3
"""Keeps the coefficients finite where the split is told apart without an error."""
METHOD = (
    "logistic regression on the calibrated log-odds, coefficients not negative, pulled towards equal ones "
    f"({PULL:g} nats a squared unit), scaled to add up to 1"
)

Figures = dict[str, float | int | None]


@dataclass(frozen=True, slots=True)
class Split:
    """One split as the members see it.

    Attributes:
        name: "validation" or "test".
        targets: int (N,), 1 = fake.
        logits: float64 (N, M), each member's calibrated by its own card, as the app has them.
    """

    name: str
    targets: npt.NDArray[np.int64]
    logits: Floats


def calibrated(raw: npt.ArrayLike, by: Calibration) -> Floats:
    """Raw logits (N,) of a member on its calibrated scale, as :func:`app.core.scoring.calibrated` gives them."""
    scaled = by.slope * np.asarray(raw, np.float64) + by.offset
    return np.clip(scaled, -LOGIT_LIMIT, LOGIT_LIMIT)


def fit_weights(targets: npt.ArrayLike, logits: Floats) -> tuple[float, ...]:
    """Weights of the members, not negative, adding up to 1, six decimals; see :data:`METHOD`.

    Args:
        targets: (N,), 1 = fake; both classes weigh alike.
        logits: (N, M), calibrated.
    """
    y = np.asarray(targets, np.float64)
    share = np.where(y == 1, 0.5 / max(1.0, y.sum()), 0.5 / max(1.0, (1 - y).sum()))
    members = logits.shape[1]

    def loss(coefficients: Floats) -> tuple[float, Floats]:
        v, z = coefficients[:-1], logits @ coefficients[:-1] + coefficients[-1]
        apart = v - v.mean()
        error = share * (expit(z) - y)
        value = np.sum(share * (np.logaddexp(0, z) - y * z)) + PULL * np.sum(apart**2) + RIDGE * np.sum(v**2)
        slope = logits.T @ error + 2 * PULL * apart + 2 * RIDGE * v
        return float(value), np.append(slope, error.sum())

    start = np.append(np.full(members, 1 / members), 0.0)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * members + [(None, None)])
    v = np.asarray(found.x[:-1], np.float64)
    # Where nothing speaks for any of them they stay equal; the calibration that follows says what is wrong.
    equal = v.sum() < 1e-6
    return tuple(round(float(w), 6) for w in (start[:-1] if equal else v / v.sum()))


def fit(cards: Sequence[ModelCard], valid: Split, pictures: str) -> ConsensusCard:
    """Weights, calibration and thresholds of a consensus, without figures yet.

    Args:
        cards: of the members, in the order of ``valid.logits``.
        pictures: what the split is, for the card.

    Raises:
        UnmaskError: a class is missing, or the members rank the pictures the wrong way round.
    """
    weights = fit_weights(valid.targets, valid.logits)
    mean = valid.logits @ np.asarray(weights)
    calibration = calibrate.fitted(valid.targets, mean, pictures)
    words = "the strictest of the models' own"
    gates = replace(calibrate.Gates.of(strictest([card.thresholds for card in cards])), chosen=words)
    return ConsensusCard(
        schema=1,
        members=tuple(
            Member(name=card.name, sha256=card.files["keras"].sha256, calibration=card.calibration, weight=weight)
            for card, weight in zip(cards, weights, strict=True)
        ),
        calibration=calibration,
        thresholds=calibrate.thresholds(valid.targets, calibrate.apply(calibration, mean), pictures, gates),
        created=datetime.now(UTC).date().isoformat(),
        method=METHOD,
        conclusion="",
        metrics={},
    )


def logits_of(judge: Consensus, split: Split) -> Floats:
    """The consensus on every picture, float64 (N,)."""
    return np.asarray([judge.logit(row) for row in split.logits.tolist()], np.float64)


def figures(judge: Consensus, split: Split) -> Figures:
    """What ``judge`` does on a split: its AUC, and the verdicts that the app would give. Quality gates are not applied.

    ``cannot_tell`` is the share without a verdict, ``disagree`` that for the members' disagreement alone.
    """
    logits, targets = logits_of(judge, split), split.targets
    auc = metrics.auc_estimate(targets, logits)
    verdicts, disagree = [], 0
    for logit, own in zip(logits.tolist(), split.logits.tolist(), strict=True):
        votes = [_vote(card, member) for card, member in zip(judge.cards, own, strict=True)]
        said = judge.opinion(logit, () if judge.alone else votes, judge.thresholds, "").verdict
        disagree += said is not verdict_of(sigmoid(logit), judge.thresholds)
        verdicts.append(said)
    said_of = {label: [v for v, t in zip(verdicts, targets, strict=True) if t == label] for label in (0, 1)}
    p = np.asarray([sigmoid(logit) for logit in logits.tolist()])
    return {
        "pictures": int(targets.size),
        "auc": _four(auc.value),
        "auc_low": _four(auc.low),
        "auc_high": _four(auc.high),
        "accuracy": _four(metrics.accuracy(targets, logits)),
        "log_loss": _four(calibrate.log_loss(targets, p)),
        "false_alarms": _share(said_of[0], Verdict.FAKE),
        "fakes_flagged": _share(said_of[1], Verdict.FAKE),
        "fakes_as_real": _share(said_of[1], Verdict.REAL),
        "cannot_tell": _share(verdicts, Verdict.UNCERTAIN),
        "disagree": _four(disagree / max(1, targets.size)),
    }


def measured(card: ConsensusCard, cards: Sequence[ModelCard], splits: Sequence[Split]) -> ConsensusCard:
    """The card with the figures of every split, the members' own beside them, and what follows from the last split."""
    judge = Consensus.of(*cards, fitted=card)
    rows: dict[str, Figures] = {}
    for split in splits:
        for column, member in enumerate(cards):
            alone = Split(split.name, split.targets, split.logits[:, [column]])
            rows[f"{split.name}, {member.name}"] = figures(Consensus.of(member), alone)
        rows[f"{split.name}, consensus"] = figures(judge, split)
    return card.model_copy(update={"metrics": rows, "conclusion": conclusion(judge, splits[-1])})


def conclusion(judge: Consensus, split: Split) -> str:
    """Whether the consensus ranks a split's pictures better than its best member, by a paired bootstrap of the AUC."""
    together, targets = logits_of(judge, split), split.targets
    own = [metrics.auc(targets, column) for column in split.logits.T]
    best = int(np.argmax(own))
    name, logits, auc = judge.cards[best].name, split.logits[:, best], metrics.auc(targets, together)
    gain = Estimate(auc - own[best], *metrics.middle(metrics.auc_gains(targets, together, logits)))
    where = f"on {targets.size} {split.name} pictures: AUC {auc:.4f} against {own[best]:.4f}"
    spread = f"difference {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
    if gain.low > 0:
        return f"The consensus is better than its best member, {name}, {where}, {spread}."
    if gain.value > 0:
        return f"The consensus is not clearly better than its best member, {name}, {where}, {spread}: it may be chance."
    return f"The consensus is not better than its best member, {name}, {where}, {spread}; use --model {name}."


def write(card: ConsensusCard, path: Path) -> None:
    """Put the card in place.

    Raises:
        UnmaskError: it cannot be written.
    """
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error, ANOTHER_WEIGHTS) from None
    card.write(path)


def _vote(card: ModelCard, logit: float) -> Vote:
    p = sigmoid(logit)
    return Vote(card.name, verdict_of(p, card.thresholds), p)


def _share(verdicts: Sequence[Verdict], wanted: Verdict) -> float | None:
    return _four(sum(v is wanted for v in verdicts) / len(verdicts)) if verdicts else None


def _four(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
