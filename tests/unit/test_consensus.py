"""How calibrated answers become one: the arithmetic, the votes, and when they disagree too much."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.cards import ConsensusCard, ModelCard
from app.core.consensus import DISSENT, Consensus, in_words, strictest
from app.core.records import Verdict, Vote
from app.core.scoring import LOGIT_LIMIT, logit_of, opinion_of, sigmoid, verdict_of
from app.vision.analyzer import AnalyzerOptions

MakeCard = Callable[..., ModelCard]
LOGITS = st.floats(-LOGIT_LIMIT, LOGIT_LIMIT)
SPLIT = "the models disagree: 1 of 2 models calls it AI-generated, 1 real"
SEVERAL = st.lists(LOGITS, min_size=2, max_size=6)
# The fixtures are factories without a state.
factories = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def cards_of(make_card: MakeCard, count: int, **changes: Any) -> list[ModelCard]:
    return [make_card(name=f"m{n}", **changes) for n in range(count)]


def fitted_with(cards: Sequence[ModelCard], weights: Sequence[float], **changes: Any) -> ConsensusCard:
    fields: dict[str, Any] = {
        "schema": 1,
        "members": [
            {"name": c.name, "sha256": c.files["keras"].sha256, "calibration": c.calibration.model_dump(), "weight": w}
            for c, w in zip(cards, weights, strict=True)
        ],
        "calibration": {"slope": 1.5, "offset": -0.25, "method": "Platt scaling", "fitted_on": "9 pictures"},
        "thresholds": cards[0].thresholds.model_dump(),
        "created": "2026-01-02",
        "method": "by hand",
        "conclusion": "The consensus is better.",
        "metrics": {},
    }
    return ConsensusCard.model_validate(fields | changes)


def votes_of(judge: Consensus, logits: Sequence[float]) -> list[Vote]:
    return [
        Vote(card.name, verdict_of(sigmoid(logit), card.thresholds), sigmoid(logit))
        for card, logit in zip(judge.cards, logits, strict=True)
    ]


@factories
@given(logit=LOGITS)
def test_one_alone_is_the_consensus_of_one(make_card: MakeCard, logit: float) -> None:
    card = make_card()
    judge = Consensus.of(card)
    assert judge.alone and judge.name == card.name and judge.note == "" and judge.weights == (1.0,)
    assert judge.logit([logit]) == logit
    assert judge.thresholds == card.thresholds
    assert judge.identity == card.model_dump_json()
    assert judge.opinion(logit, (), card.thresholds, "now") == opinion_of(logit, card.thresholds, "now")


@factories
@given(logits=SEVERAL)
def test_without_fitted_weights_it_is_the_mean_of_log_odds(make_card: MakeCard, logits: list[float]) -> None:
    judge = Consensus.of(*cards_of(make_card, len(logits)))
    together = judge.logit(logits)
    assert together == pytest.approx(sum(logits) / len(logits))
    assert min(logits) - 1e-9 <= together <= max(logits) + 1e-9
    assert "no weights were fitted" in judge.note and "counts alike" in judge.note


@factories
@given(data=st.data(), logits=SEVERAL)
def test_fitted_weights_go_by_name_and_more_of_one_never_lowers_it(
    make_card: MakeCard, data: st.DataObject, logits: list[float]
) -> None:
    cards = cards_of(make_card, len(logits))
    shares = data.draw(st.lists(st.floats(0.05, 1), min_size=len(logits), max_size=len(logits)))
    weights = [share / sum(shares) for share in shares]
    fitted = fitted_with(cards, weights)
    judge = Consensus.of(*cards, fitted=fitted)
    together = judge.logit(logits)
    order = data.draw(st.permutations(range(len(logits))))
    shuffled = Consensus.of(*(cards[i] for i in order), fitted=fitted)
    assert shuffled.logit([logits[i] for i in order]) == pytest.approx(together)
    mean = sum(w * x for w, x in zip(weights, logits, strict=True))
    assert together == pytest.approx(max(-LOGIT_LIMIT, min(LOGIT_LIMIT, 1.5 * mean - 0.25)))
    more = data.draw(st.integers(0, len(logits) - 1))
    assert judge.logit([x + (i == more) for i, x in enumerate(logits)]) >= together


@factories
@given(logit=LOGITS, count=st.integers(2, 5))
def test_models_that_agree_never_disagree(make_card: MakeCard, logit: float, count: int) -> None:
    judge = Consensus.of(*cards_of(make_card, count))
    votes = votes_of(judge, [logit] * count)
    opinion = judge.opinion(logit, votes, judge.thresholds, "now")
    alone = opinion_of(logit, judge.thresholds, "now")
    assert (opinion.verdict, opinion.p_fake) == (alone.verdict, alone.p_fake)
    assert opinion.reason == f"{alone.reason}; {in_words(votes, alone.verdict)}"


@factories
@given(logits=SEVERAL)
def test_a_verdict_stands_only_where_few_contradict_it(make_card: MakeCard, logits: list[float]) -> None:
    judge = Consensus.of(*cards_of(make_card, len(logits)))
    votes, together = votes_of(judge, logits), judge.logit(logits)
    opinion = judge.opinion(together, votes, judge.thresholds, "now")
    assert opinion.p_fake == sigmoid(together)
    opposite = {Verdict.FAKE: Verdict.REAL, Verdict.REAL: Verdict.FAKE}.get(opinion.verdict)
    assert sum(vote.verdict is opposite for vote in votes) / len(votes) < DISSENT + 1e-9
    if opinion.verdict is not Verdict.UNCERTAIN:
        assert opinion.verdict is opinion_of(together, judge.thresholds, "").verdict


@pytest.mark.parametrize(
    ("p", "verdict", "words"),
    [
        ((0.99, 0.98, 0.97), Verdict.FAKE, "3 of 3 models call it AI-generated"),
        ((0.9995, 0.9995, 0.1), Verdict.FAKE, "2 of 3 models call it AI-generated, 1 real"),
        ((0.99, 0.95, 0.5), Verdict.FAKE, "2 of 3 models call it AI-generated, 1 cannot tell"),
        ((0.01, 0.02), Verdict.REAL, "2 of 2 models call it real"),
        ((0.99, 0.01), Verdict.UNCERTAIN, f"{SPLIT}; together 50 %"),
        ((0.9997, 0.1), Verdict.UNCERTAIN, f"{SPLIT}; together 95 %"),
        ((0.5, 0.6), Verdict.UNCERTAIN, "; none of the 2 models can tell"),
        ((0.1, 0.75), Verdict.UNCERTAIN, "between 20 and 90 %; 1 of 2 models calls it real, 1 cannot tell"),
        ((0.12, 0.89), Verdict.UNCERTAIN, "between 20 and 90 %; 1 of 2 models calls it real, 1 cannot tell"),
        ((0.95, 0.3, 0.1), Verdict.UNCERTAIN, "the models disagree: 1 of 3 models calls it AI-generated, 1 real"),
        ((0.001, 0.5, 0.001), Verdict.REAL, "2 of 3 models call it real, 1 cannot tell"),
    ],
)
def test_votes_are_told_in_words(make_card: MakeCard, p: tuple[float, ...], verdict: Verdict, words: str) -> None:
    judge = Consensus.of(*cards_of(make_card, len(p)))
    logits = [logit_of(one) for one in p]
    opinion = judge.opinion(judge.logit(logits), votes_of(judge, logits), judge.thresholds, "over 5 scored pictures")
    assert opinion.verdict is verdict
    assert words in opinion.reason


@pytest.mark.parametrize(
    ("p", "verdict", "words"),
    [
        ((0.88, 0.89), Verdict.FAKE, "at or above 90 %; neither model alone is sure, together they are"),
        ((0.85, 0.88, 0.89), Verdict.FAKE, "at or above 90 %; no model alone is sure, together they are"),
        ((0.22, 0.21), Verdict.REAL, "at or below 20 %; neither model alone is sure, together they are"),
    ],
)
def test_together_they_are_sure_where_none_is_alone(
    make_card: MakeCard, p: tuple[float, ...], verdict: Verdict, words: str
) -> None:
    cards = cards_of(make_card, len(p))
    sharper = {"slope": 1.2, "offset": 0.0, "method": "temperature scaling", "fitted_on": "9 pictures"}
    judge = Consensus.of(*cards, fitted=fitted_with(cards, [1 / len(p)] * len(p), calibration=sharper))
    logits = [logit_of(one) for one in p]
    said = judge.opinion(judge.logit(logits), votes_of(judge, logits), judge.thresholds, "now")
    assert said.verdict is verdict and said.reason.endswith(words)


@pytest.mark.parametrize(("p", "threshold"), [((0.4, 0.4), 0.3), ((0.35, 0.45, 0.31), 0.3)])
def test_models_that_vote_alike_agree_at_any_threshold(
    make_card: MakeCard, p: tuple[float, ...], threshold: float
) -> None:
    """Below 50 % the log-odds are those of REAL, the verdicts are not."""
    options, cards = AnalyzerOptions(threshold=threshold), cards_of(make_card, len(p))
    judge = Consensus.of(*cards).judging_by(options.thresholds(cards[0].thresholds))
    logits = [logit_of(one) for one in p]
    said = judge.opinion(judge.logit(logits), votes_of(judge, logits), judge.thresholds, "now")
    assert said.verdict is Verdict.FAKE and "disagree" not in said.reason


@factories
@given(logits=SEVERAL)
def test_contradiction_is_told_by_verdicts(make_card: MakeCard, logits: list[float]) -> None:
    """Where 50 % lies in the undecided band, verdicts are as by the sign of the log-odds, and the words are true."""
    judge = Consensus.of(*cards_of(make_card, len(logits)))
    votes, together = votes_of(judge, logits), judge.logit(logits)
    said = judge.opinion(together, votes, judge.thresholds, "now")
    against = sum(vote.verdict is (Verdict.REAL if together > 0 else Verdict.FAKE) for vote in votes) / len(votes)
    alone = opinion_of(together, judge.thresholds, "").verdict
    assert said.verdict is (alone if against < DISSENT else Verdict.UNCERTAIN)
    if "disagree" in said.reason:
        assert alone is not Verdict.UNCERTAIN or {vote.verdict for vote in votes} >= {Verdict.REAL, Verdict.FAKE}


def test_the_weight_decides_what_is_too_much_disagreement(make_card: MakeCard) -> None:
    cards = cards_of(make_card, 2)
    logits = [8.0, -2.0]
    heavy = Consensus.of(*cards, fitted=fitted_with(cards, [0.8, 0.2]))
    equal = Consensus.of(*cards)
    for judge, verdict in ((heavy, Verdict.FAKE), (equal, Verdict.UNCERTAIN)):
        said = judge.opinion(judge.logit(logits), votes_of(judge, logits), judge.thresholds, "now")
        assert said.verdict is verdict


def test_the_strictest_gates_count(make_card: MakeCard) -> None:
    one = make_card(name="a", thresholds={"min_size_px": 50, "min_sharpness": 0.2, "max_yaw": 0.9, "real": 0.1})
    other = make_card(
        name="b",
        thresholds={"min_size_px": 40, "min_brightness": 30, "max_brightness": 200, "min_scores": 5, "fake": 0.95},
        preprocessing={"size": 96},
    )
    judge = Consensus.of(one, other)
    needs = judge.thresholds
    assert (needs.min_size_px, needs.min_sharpness, needs.min_brightness) == (50, 0.2, 30)
    assert (needs.max_brightness, needs.max_yaw, needs.min_scores) == (200, 0.8, 5)
    assert (needs.fake, needs.real) == (0.95, 0.1)
    gates = judge.gates(needs)
    assert [gates[card.preprocessing].min_sharpness for card in (one, other)] == [0.2, 0.05]
    assert {gate.min_size_px for gate in gates.values()} == {50}
    chosen = {"fake": 0.92, "real": 0.15, "min_size_px": 10.0, "chosen": "on 9 pictures"}
    fitted = fitted_with([one, other], [0.5, 0.5], thresholds=one.thresholds.model_dump() | chosen)
    needs = Consensus.of(one, other, fitted=fitted).thresholds
    assert (needs.fake, needs.real, needs.min_size_px, needs.chosen) == (0.92, 0.15, 50, "on 9 pictures")


def test_strictest_is_met_only_where_all_are(make_card: MakeCard) -> None:
    needs = [
        make_card(thresholds={"max_yaw": yaw, "min_size_px": size}).thresholds for yaw, size in ((0.5, 9), (0.6, 8))
    ]
    for order in itertools.permutations(needs):
        assert (strictest(order).max_yaw, strictest(order).min_size_px) == (0.5, 9)
    assert strictest(needs[:1]) == needs[0]


def test_the_users_thresholds_are_those_of_the_report(make_card: MakeCard) -> None:
    """Those of the votes too, which are the analyzer's."""
    cards = [make_card(name="a", thresholds={"fake": 0.92}), make_card(name="b", thresholds={"real": 0.1})]
    both = Consensus.of(*cards, fitted=fitted_with(cards, [0.6, 0.4]))
    for options in (
        AnalyzerOptions(),
        AnalyzerOptions(threshold=0.7),
        AnalyzerOptions(threshold=0.15),
        AnalyzerOptions(threshold=both.thresholds.fake),
        AnalyzerOptions(min_scores=1, min_size_px=20),
    ):
        for judge in (Consensus.of(cards[0]), both):
            asked = options.thresholds(judge.thresholds)
            shown = judge.judging_by(asked)
            assert shown.thresholds == asked
            assert [c.thresholds for c in shown.cards] == [options.thresholds(c.thresholds) for c in judge.cards]
            assert shown.weights == judge.weights


def test_who_judges_differently_has_another_identity(make_card: MakeCard) -> None:
    cards = cards_of(make_card, 2)
    judges = [Consensus.of(cards[0]), Consensus.of(*cards), Consensus.of(*cards[::-1])]
    judges += [Consensus.of(*cards, fitted=fitted_with(cards, w)) for w in ([0.5, 0.5], [0.6, 0.4])]
    assert len({judge.identity for judge in judges}) == 5


@pytest.mark.parametrize(
    ("weights", "names", "says"),
    [
        ([0.7, 0.7], ("m0", "m1"), "add up to 1"),
        ([0.5, 0.5], ("m0", "m0"), "twice"),
        ([1.5, -0.5], ("m0", "m1"), "weight"),
    ],
)
def test_a_card_that_makes_no_sense_is_none(
    make_card: MakeCard, weights: list[float], names: tuple[str, str], says: str
) -> None:
    cards = [make_card(name=name) for name in names]
    with pytest.raises(ValueError, match=says):
        fitted_with(cards, weights)
