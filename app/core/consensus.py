"""Consensus: models that judge a face together, each calibrated by its own card; one alone is the consensus of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from app.core.records import Opinion, Verdict, Vote
from app.core.scoring import calibrated, opinion_of, percent, with_threshold

if TYPE_CHECKING:
    from app.core.cards import ConsensusCard, ModelCard, Preprocessing, Thresholds

DISSENT = 0.4
"""Share of the weight from which on models that alone would say the opposite make it CAN'T TELL: the second of two, but
not the third of three."""
OPPOSITE = {Verdict.FAKE: Verdict.REAL, Verdict.REAL: Verdict.FAKE}


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
        """The same members with other thresholds, such as the user's; they vote by what differs from those of now."""
        votes_by = (thresholds if self.alone else self._votes_by(card.thresholds, thresholds) for card in self.cards)
        pairs = zip(self.cards, votes_by, strict=True)
        cards = tuple(card.model_copy(update={"thresholds": own}) for card, own in pairs)
        return replace(self, cards=cards, thresholds=thresholds)

    def _votes_by(self, own: Thresholds, asked: Thresholds) -> Thresholds:
        """A member's ``own`` thresholds with what is ``asked`` for instead of those of the consensus."""
        before = self.thresholds
        if asked.chosen != before.chosen:  # Only a threshold of the user's changes the words; it may be the old number.
            own = with_threshold(own, asked.fake)
        changed = {
            name: getattr(asked, name)
            for name in ("min_size_px", "min_scores")
            if getattr(asked, name) != getattr(before, name)
        }
        return own.model_copy(update=changed)

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
        if not self._disagree(opinion.verdict, votes):
            return replace(opinion, reason=f"{opinion.reason}; {in_words(votes, opinion.verdict)}")
        together = f"together {percent(opinion.p_fake)} probability of AI generation {basis}"
        return Opinion(Verdict.UNCERTAIN, opinion.p_fake, f"the models disagree: {in_words(votes)}; {together}")

    def _disagree(self, verdict: Verdict, votes: Sequence[Vote]) -> bool:
        """Whether ``votes`` contradict the ``verdict`` too much, or each other where it is undecided."""
        if verdict is Verdict.UNCERTAIN:
            return OPPOSITE.keys() <= {vote.verdict for vote in votes}
        pairs = zip(self.weights, votes, strict=True)
        return sum(weight for weight, vote in pairs if vote.verdict is OPPOSITE[verdict]) >= DISSENT


def in_words(votes: Sequence[Vote], together: Verdict = Verdict.UNCERTAIN) -> str:
    """How the models voted: "2 of 3 models call it AI-generated, 1 real"; ``together`` is the verdict of them all."""
    count = {verdict: sum(vote.verdict is verdict for vote in votes) for verdict in Verdict}
    said = [(count[Verdict.FAKE], "AI-generated"), (count[Verdict.REAL], "real")]
    (first, word), *others = [pair for pair in said if pair[0]] or [(0, "")]
    if not first:
        if together is Verdict.UNCERTAIN:
            return f"none of the {len(votes)} models can tell"
        return f"{'neither' if len(votes) == 2 else 'no'} model alone is sure, together they are"
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
