"""Consensus: models that judge a face together, each calibrated by its own card; one alone is the consensus of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from app.core.records import Opinion, Verdict, Vote
from app.core.scoring import calibrated, opinion_of, percent

if TYPE_CHECKING:
    from app.core.cards import ConsensusCard, ModelCard, Preprocessing, Thresholds

DISSENT = 0.4
"""Share of the weight from which on models that alone would say the opposite make it CAN'T TELL: the second of two, but
not the third of three."""


@dataclass(frozen=True, slots=True)
class Consensus:
    """Who judges, and how their answers are put together; made by :meth:`of`.

    Attributes:
        cards: of the members; the heatmap shown is that of the first.
        thresholds: where verdicts change, and the strictest of what the members need to judge a face.
        fitted: weights and calibration fitted on validation pictures; None where every member counts alike.
    """

    cards: tuple[ModelCard, ...]
    thresholds: Thresholds
    fitted: ConsensusCard | None = None

    @classmethod
    def of(cls, *cards: ModelCard, fitted: ConsensusCard | None = None) -> Self:
        """The consensus of the members with these cards.

        Args:
            fitted: how they were fitted together; it names exactly these members.
        """
        own = strictest([card.thresholds for card in cards])
        if fitted is not None:
            chosen = fitted.thresholds
            gates = strictest([own, chosen])
            own = gates.model_copy(update={"fake": chosen.fake, "real": chosen.real, "chosen": chosen.chosen})
        return cls(cards, own, fitted)

    @property
    def name(self) -> str:
        """The members' names, joined by "+"."""
        return "+".join(card.name for card in self.cards)

    @property
    def alone(self) -> bool:
        """Whether one model judges alone."""
        return len(self.cards) == 1

    @property
    def weights(self) -> tuple[float, ...]:
        """Of the members, in the order of ``cards``; they add up to 1."""
        if self.fitted is None:
            return (1 / len(self.cards),) * len(self.cards)
        fitted = {member.name: member.weight for member in self.fitted.members}
        return tuple(fitted[card.name] for card in self.cards)

    @property
    def inputs(self) -> tuple[Preprocessing, ...]:
        """The different crops that the members want, that of the first member first."""
        return tuple(dict.fromkeys(card.preprocessing for card in self.cards))

    @property
    def fitted_on(self) -> tuple[str, ...]:
        """The pictures that the probabilities are calibrated on."""
        own = [card.calibration.fitted_on for card in self.cards]
        return tuple(dict.fromkeys(own if self.fitted is None else [self.fitted.calibration.fitted_on]))

    @property
    def note(self) -> str:
        """How the members' weights came about, for people; "" for one alone."""
        if self.alone:
            return ""
        if self.fitted is None:
            return f"no weights were fitted for {self.name}, so every model counts alike"
        shares = ", ".join(f"{card.name} {w:.2f}" for card, w in zip(self.cards, self.weights, strict=True))
        return f"weights fitted on {self.fitted.calibration.fitted_on}: {shares}"

    @property
    def identity(self) -> str:
        """Everything that decides what it answers, as text."""
        parts = [*self.cards] if self.fitted is None else [*self.cards, self.fitted]
        return "".join(part.model_dump_json() for part in parts)

    def judging_by(self, thresholds: Thresholds) -> Self:
        """The same members with other thresholds, such as the user's."""
        cards = tuple(card.model_copy(update={"thresholds": thresholds}) for card in self.cards)
        return replace(self, cards=cards if self.alone else self.cards, thresholds=thresholds)

    def gates(self, thresholds: Thresholds) -> dict[Preprocessing, Thresholds]:
        """``thresholds`` for each crop: the least sharpness is that of its own size, all else is shared."""
        sharpness: dict[Preprocessing, float] = {}
        for card in self.cards:
            least = card.thresholds.min_sharpness
            sharpness[card.preprocessing] = max(least, sharpness.get(card.preprocessing, least))
        return {crop: thresholds.model_copy(update={"min_sharpness": least}) for crop, least in sharpness.items()}

    def logit(self, logits: Sequence[float]) -> float:
        """The consensus of the members' calibrated logits: their weighted mean, calibrated where that was fitted."""
        mean = sum(weight * logit for weight, logit in zip(self.weights, logits, strict=True))
        return mean if self.fitted is None else calibrated(mean, self.fitted.calibration)

    def opinion(self, logit: float, votes: Sequence[Vote], thresholds: Thresholds, basis: str) -> Opinion:
        """The verdict on consensus evidence, with the votes in words; CAN'T TELL where they contradict it too much.

        Args:
            logit: of the consensus, usually a mean over frames.
            votes: of the members over the same time, in the order of ``cards``; empty for one alone.
            thresholds, basis: see :func:`app.core.scoring.opinion_of`.
        """
        opinion = opinion_of(logit, thresholds, basis)
        if not votes:
            return opinion
        assert opinion.p_fake is not None
        opposite = Verdict.REAL if logit > 0 else Verdict.FAKE
        against = sum(w for w, vote in zip(self.weights, votes, strict=True) if vote.verdict is opposite)
        if against < DISSENT:
            return replace(opinion, reason=f"{opinion.reason}; {in_words(votes)}")
        together = f"together {percent(opinion.p_fake)} probability of AI generation {basis}"
        return Opinion(Verdict.UNCERTAIN, opinion.p_fake, f"the models disagree: {in_words(votes)}; {together}")


def in_words(votes: Sequence[Vote]) -> str:
    """How the models voted: "2 of 3 models call it AI-generated, 1 real"."""
    count = {verdict: sum(vote.verdict is verdict for vote in votes) for verdict in Verdict}
    said = [(count[Verdict.FAKE], "AI-generated"), (count[Verdict.REAL], "real")]
    (first, word), *others = [pair for pair in said if pair[0]] or [(0, "")]
    if not first:
        return f"none of the {len(votes)} models can tell"
    parts = [f"{first} of {len(votes)} models {'call' if first > 1 else 'calls'} it {word}"]
    parts += [f"{number} {word}" for number, word in others]
    if unsure := count[Verdict.UNCERTAIN]:
        parts.append(f"{unsure} cannot tell")
    return ", ".join(parts)


def strictest(needs: Sequence[Thresholds]) -> Thresholds:
    """Thresholds that are met only where all of ``needs`` are."""
    first, words = needs[0], dict.fromkeys(need.chosen for need in needs)
    return first.model_copy(
        update={
            "fake": max(need.fake for need in needs),
            "real": min(need.real for need in needs),
            "min_size_px": max(need.min_size_px for need in needs),
            "min_sharpness": max(need.min_sharpness for need in needs),
            "min_brightness": max(need.min_brightness for need in needs),
            "max_brightness": min(need.max_brightness for need in needs),
            "max_yaw": min(need.max_yaw for need in needs),
            "min_scores": max(need.min_scores for need in needs),
            "chosen": first.chosen if len(words) == 1 else "the strictest of the models' own",
        }
    )
