"""The report where several models judged: what each said, how they judge together, and every one's card."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from app.core.cards import ModelCard
from app.core.consensus import Consensus
from app.core.records import Verdict, Vote
from app.core.scoring import sigmoid, verdict_of
from app.pipeline.records import VideoReport
from app.pipeline.report import render_report
from app.vision.analyzer import AnalyzerOptions
from tests.report_samples import make_card, make_video
from tests.unit.test_consensus import fitted_with


def _several(*, fitted: bool) -> VideoReport:
    cards: list[ModelCard] = [make_card(name=name) for name in ("first", "second")]
    together = fitted_with(cards, [0.7, 0.3], thresholds=cards[0].thresholds.model_dump()) if fitted else None
    report = make_video(card=cards[0])
    tracks = tuple(
        replace(
            track,
            votes=tuple(
                Vote(card.name, verdict_of(sigmoid(logit), card.thresholds), sigmoid(logit))
                for card, logit in zip(cards, (track.evidence or 0.0, -1.0), strict=True)
            ),
        )
        for track in report.tracks
    )
    return replace(report, tracks=tracks, consensus=Consensus.of(*cards, fitted=together))


def _page(report: VideoReport) -> str:
    return render_report([report], title="Several", created=datetime(2026, 1, 2, tzinfo=UTC))


def test_every_face_has_what_each_model_said() -> None:
    report = _several(fitted=False)
    page = _page(report)
    assert page.count("What each model says alone") == len(report.tracks)
    for name in ("first", "second"):
        assert page.count(f'<th scope="row">{name}</th>') == len(report.tracks) + 1, "and once with its weight"
        assert f"The model: {name}" in page
    assert Verdict.FAKE.words in page


def test_equal_weights_are_said_to_be() -> None:
    page = _page(_several(fitted=False))
    assert "The consensus of 2 models" in page and "so every one counts alike" in page
    assert page.count('<td class="n">0.50</td>') == 2
    assert "or the models disagree" in page and "or less REAL, unless the models disagree." in page
    assert "Heatmaps are\n    those of first and show what speaks for its own answer." in page


def test_fitted_weights_tell_what_they_are_worth() -> None:
    page = _page(_several(fitted=True))
    assert "The consensus is better." in page and "Weights: by hand, on 9 pictures" in page
    assert '<td class="n">0.70</td>' in page and '<td class="n">0.30</td>' in page
    assert "It is calibrated on 9 pictures." in page


def test_the_threshold_shown_is_the_one_used() -> None:
    report = _several(fitted=True)
    judge = report.consensus.judging_by(AnalyzerOptions(threshold=0.3).thresholds(report.consensus.thresholds))
    page = _page(replace(report, consensus=judge))
    assert page.count("Thresholds: fake: 0.3, set by the user; ") == 3, "of the consensus and of every model"
    assert "At 30 % or more the verdict is AI-GENERATED" in page and "≥ 90 %" not in page
    assert page.count('<td class="n">30 %</td><td class="n">20 %</td>') == 2


def test_heatmaps_go_the_way_of_the_model_whose_they_are() -> None:
    """Of the face that the first model calls real, though the consensus leans the other way."""
    report = _several(fitted=False)
    page = _page(report)
    assert "Bright: where first found what speaks for AI generation." in page
    track = report.tracks[0]
    first = replace(track.votes[0], verdict=Verdict.REAL, p_fake=0.08)
    lone = replace(report, tracks=(replace(track, votes=(first, track.votes[1])),))
    negative = tuple(replace(h, evidence=-h.evidence) for h in report.highlights if h.track == track.id)
    page = _page(replace(lone, highlights=negative))
    assert all(h.logit > 0 for h in negative)
    assert page.count("Bright: where first found what speaks for a real photograph.") == len(negative)
    assert "what speaks for AI generation" not in page


def test_a_limit_says_which_model_it_is_of() -> None:
    shared, own, others = "Filters mislead it.", "It misses some.", "It misses more than first."
    cards = [make_card(name="first", limits=[own, shared]), make_card(name="second", limits=[others, shared])]
    page = _page(replace(_several(fitted=False), consensus=Consensus.of(*cards)))
    for line in (f"first: {own}", f"second: {others}", shared):
        assert page.count(f"<li>{line}</li>") == 1
    alone = _page(make_video(card=cards[0]))
    assert f"<li>{own}</li>" in alone and f"<li>{shared}</li>" in alone


def test_one_alone_is_told_of_as_before() -> None:
    page = _page(make_video())
    assert "consensus" not in page and "What each model says alone" not in page and "models disagree" not in page
    assert "Bright: where the model found" in page
