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
    assert "or the models disagree" in page
    assert "Heatmaps are\n    those of first." in page


def test_fitted_weights_tell_what_they_are_worth() -> None:
    page = _page(_several(fitted=True))
    assert "The consensus is better." in page and "Weights: by hand, on 9 pictures" in page
    assert '<td class="n">0.70</td>' in page and '<td class="n">0.30</td>' in page
    assert "It is calibrated on 9 pictures." in page


def test_one_alone_is_told_of_as_before() -> None:
    page = _page(make_video())
    assert "consensus" not in page and "What each model says alone" not in page and "models disagree" not in page
