"""The HTML report: nothing becomes markup, nothing is loaded, everything is there."""

from __future__ import annotations

import base64
import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from app.core.errors import UnmaskError
from app.core.records import ImageU8, Opinion, Verdict
from app.pipeline import report as module
from app.pipeline.records import TimelinePoint, VideoReport
from app.pipeline.report import render_report, write_report
from tests.report_samples import (
    make_card,
    make_picture,
    make_video,
)

CREATED = datetime(2025, 3, 1, 14, 30, tzinfo=UTC)
HOSTILE = """<script>alert("1")</script>'"><img src=x onerror=alert(2)>{{ 7*7 }}&amp;"""
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a browser would make of a page: elements, attributes and text; complains of tags that do not balance."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len(attrs) == len(dict(attrs)), f"an attribute twice in {tag}"
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, f"</{tag}> closes {self._open[-3:]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self._open[-1] if self._open else "", " ".join(data.split())))

    @property
    def text(self) -> str:
        return " ".join(text for tag, text in self.texts if tag != "style")

    def all(self, tag: str, css: str | None = None) -> list[dict[str, str | None]]:
        """Attributes of the elements of this name, and of this class where one is given."""
        return [a for t, a in self.elements if t == tag and (css is None or css in (a.get("class") or "").split())]


def page_of(*reports: VideoReport, title: str = "Report") -> Page:
    return Page(render_report(reports, title=title, created=CREATED))


def pictures_in(page: Page) -> list[ImageU8]:
    decoded = []
    for image in page.all("img"):
        kind, _, data = (image["src"] or "").partition(",")
        assert kind == "data:image/jpeg;base64"
        pixels = cv2.imdecode(np.frombuffer(base64.b64decode(data, validate=True), np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        decoded.append(np.asarray(pixels, np.uint8))
    return decoded


def test_video_says_its_verdict_and_everything_of_every_track() -> None:
    video = make_video()
    page = page_of(video, title="Interview")
    assert ("h1", "Interview") in page.texts
    assert page.all("strong", "big") == [{"class": "badge fake big"}]
    assert "AI-GENERATED 97 % probability of AI generation" in page.text
    for expected in (
        video.opinion.reason,
        video.source,
        "24.0 s, 601 frames",
        "2025-03-01 14:30 UTC",
        "3, found 1315 times",
    ):
        assert expected in page.text
    for track in video.tracks:
        assert f"Face {track.id} {track.opinion.verdict.words} {track.opinion.reason}" in page.text
        assert f"{track.first_s:.1f} s – {track.last_s:.1f} s" in page.text
        assert f"{track.faces} frames" in page.text
    assert {a["id"] for a in page.all("section", "face")} == {f"source-1-face-{i}" for i in (1, 2, 3)}
    assert page.text.count("No picture left this machine") == 2
    assert page.all("html") == [{"lang": "en"}]


def test_links_lead_somewhere_and_ids_are_unique() -> None:
    page = page_of(make_video(), make_picture("a.png", (3.0, -3.0)), make_picture("b.png", ()))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {(a["href"] or "")[1:] for a in page.all("a")} | {
        a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a
    }
    assert len(targets) > 10 and targets <= set(ids)


def test_nothing_hostile_becomes_markup() -> None:
    opinion = Opinion(Verdict.FAKE, 0.97, HOSTILE)
    track = replace(make_video().tracks[0], opinion=opinion)
    card = make_card(
        family=HOSTILE,
        summary=HOSTILE,
        created=HOSTILE,
        data={HOSTILE: HOSTILE},
        training={HOSTILE: HOSTILE},
        metrics={HOSTILE: {HOSTILE: 1}},
        limits=[HOSTILE],
        terms=HOSTILE,
        intended_use=HOSTILE,
    )
    changes: dict[str, Any] = {
        "source": HOSTILE, "opinion": opinion, "tracks": (track,), "card": card, "device": HOSTILE, "error": HOSTILE,
        "settings": {HOSTILE: HOSTILE}, "partial": True,
    }  # fmt: skip
    video, picture = make_video(**changes), make_picture("x", (3.0,), **changes)
    plain, plain_picture = make_video(tracks=make_video().tracks[:1]), make_picture("x", (3.0,))
    for reports, control in (((video,), (plain,)), ((video, picture), (plain, plain_picture))):
        page, harmless = page_of(*reports, title=HOSTILE), page_of(*control)
        for tag in ("script", "iframe", "object", "a", "img", "style", "meta"):
            assert len(page.all(tag)) == len(harmless.all(tag)), tag
        assert not page.all("script")
        for tag, attributes in page.elements:
            assert not [a for a in attributes if a.startswith("on") or a == "style"], tag
        assert " ".join(HOSTILE.split()) in page.text
        assert page.text.count("{{ 7*7 }}") >= 12


def test_nothing_is_loaded_and_nothing_runs() -> None:
    video = make_video(source="https://example.org/<b>clip.mp4")
    html = render_report([video, make_picture("a.png", (3.0,))], title="t", created=CREATED)
    page = Page(html)
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/", "#")), (tag, value)
    css = "".join(text for tag, text in page.texts if tag == "style")
    assert "--page" in css and "url(" not in css and "@import" not in css
    policy = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert not page.all("script") and not page.all("link")


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("/x/invoice\u202egpj.exe", "invoice\\u202egpj.exe"),
        ("/x/broken\udcff.mp4", "broken\\udcff.mp4"),
        ("/x/bell\x07.mp4", "bell\\u0007.mp4"),
        ("C:\\clips\\a.mp4", "a.mp4"),
        ("/x/Überblick 人 👩‍💻.mp4", "Überblick 人 👩‍💻.mp4"),
    ],
)
def test_odd_names_are_shown_undisguised(tmp_path: Path, source: str, shown: str) -> None:
    path = tmp_path / "r.html"
    write_report(path, [make_video((3.0,), source=source)], title=source, created=CREATED)
    assert f"Verdict on {shown} " in Page(path.read_text(encoding="utf-8")).text


def test_password_of_an_address_is_left_out() -> None:
    page = page_of(make_video(source="rtsp://admin:hunter2@192.0.2.1/live"))
    assert "hunter2" not in page.text and "rtsp://192.0.2.1/live" in page.text


def test_band_lies_between_the_thresholds_in_every_plot() -> None:
    thresholds = make_card().thresholds.model_copy(update={"real": 0.3, "fake": 0.8})
    page = page_of(make_video(card=make_card(thresholds=thresholds.model_dump())))
    plots, bands = page.all("svg", "plot"), [b for b in page.all("rect", "band") if float(b["width"] or 0) > 300]
    assert len(plots) == len(bands) == 4  # all faces together, and each
    for plot, band in zip(plots, bands, strict=True):
        height = float((plot["viewbox"] or "").split()[3])
        high, low = 14.0, height - 44
        top, tall = float(band["y"] or 0), float(band["height"] or 0)
        assert top == pytest.approx(low - 0.8 * (low - high), abs=0.1)
        assert tall == pytest.approx(0.5 * (low - high), abs=0.2)
    assert page.text.count("undecided 30–80 %") >= 4
    assert page.text.count("AI-GENERATED ≥ 80 %") == page.text.count("REAL ≤ 30 %") == 4
    assert "At 80 % or more the verdict is AI-GENERATED, at 30 % or less REAL." in page.text


def test_lines_break_where_the_face_was_away() -> None:
    page = page_of(make_video())
    lines = [a["points"] or "" for a in page.all("polyline")]
    assert len(lines) == 2 * (1 + 2 + 1)  # the second face is away from 8 to 11 s; together, and alone
    for points in lines:
        xs = [float(pair.split(",")[0]) for pair in points.split()]
        assert xs == sorted(xs) and xs[0] >= 50 and xs[-1] <= 676
    assert {"face 1", "face 2", "face 3"} <= {text for tag, text in page.texts if tag == "text"}
    styles = {a["class"] for a in page.all("g", "track")}
    assert styles == {"track s0", "track s1", "track s2"}


def test_runs_follow_the_step_of_a_thinned_timeline() -> None:
    def runs(*times: float) -> list[int]:
        return [len(run) for run in module._runs([TimelinePoint(t, 0.5) for t in times])]

    assert runs(0, 0.5, 1.6, 2) == [2, 2]
    assert runs(0, 0.5, 1.5, 2) == [4]
    assert runs(0, 5, 10, 15, 60, 65) == [4, 2]
    assert runs(3) == [1]


@pytest.mark.parametrize(
    ("first", "last", "labels"),
    [
        (0, 24, ["0", "5", "10", "15", "20"]),
        (0, 0.5, ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]),
        (0, 200, ["0:00", "0:30", "1:00", "1:30", "2:00", "2:30", "3:00"]),
        (3600, 3602, ["1:00:00.0", "1:00:00.5", "1:00:01.0", "1:00:01.5", "1:00:02.0"]),
    ],
)
def test_ticks_are_round(first: float, last: float, labels: list[str]) -> None:
    assert [label for _, label in module._ticks(first, last)] == labels


def test_labels_never_cover_each_other() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        wanted = [(float(x), float(y)) for x, y in rng.uniform((0, 14), (120, 226), (module.LINES, 2))]
        placed = module._spread(wanted, 56, 18, 222)
        assert [x for x, _ in placed] == [x for x, _ in wanted]
        assert all(18 <= y <= 222 for _, y in placed)
        for (ax, ay), (bx, by) in itertools.combinations(placed, 2):
            assert abs(ax - bx) >= 56 or abs(ay - by) >= module._LABEL_PITCH - 0.11


def test_moments_show_crop_and_heatmap_with_their_own_probability() -> None:
    video = make_video((3.4, -3.1))
    page = page_of(video)
    images = pictures_in(page)
    assert len(images) == 2 * len(video.highlights) == 8
    assert all(image.shape == (192, 192, 3) for image in images)
    first = cv2.cvtColor(images[0], cv2.COLOR_BGR2RGB).astype(int)
    assert np.abs(first - video.highlights[0].crop).mean() < 4  # the crop, in RGB as it was given
    assert np.abs(first - images[1]).mean() > 10  # not the crop again
    captions = page.text
    assert "1. At 3.2 s: 97 % . Bright: where the model found what speaks for AI generation." in captions
    assert "1. At 4.7 s: 4 % . Bright: where the model found what speaks for a real photograph." in captions
    assert all((a["alt"] or "").startswith(("Face ", "Heatmap over face ")) for a in page.all("img"))


def test_a_heatmap_without_evidence_says_so() -> None:
    video = make_video((3.4,))
    blank = tuple(replace(h, evidence=-np.abs(h.evidence)) for h in video.highlights)
    assert "No place in it spoke for AI generation." in page_of(replace(video, highlights=blank)).text
    assert "No place in it spoke for" not in page_of(video).text


def test_video_without_a_face() -> None:
    page = page_of(make_video(()))
    assert "CAN'T TELL No probability: no face was scored. no face was found" in page.text
    assert "says nothing about whether the video is real" in page.text
    assert not page.all("svg") and not page.all("img")


def test_face_that_was_never_scored() -> None:
    video = make_video((3.4, -3.0))
    opinion = Opinion(Verdict.UNCERTAIN, None, "too small: 20 px, needs 48")
    unscored = replace(video.tracks[1], opinion=opinion, scored=0, evidence=None)
    page = page_of(
        replace(
            video,
            tracks=(video.tracks[0], unscored),
            timelines={1: video.timelines[1], 2: ()},
            highlights=video.highlights[:2],
        )
    )
    assert "Face 2 CAN'T TELL too small: 20 px, needs 48 Probability of AI generation not scored" in page.text
    assert "No moment of this face was kept to show." in page.text
    assert len(page.all("svg", "plot")) == 1


def test_partial_and_failed_scans_say_so() -> None:
    partial = page_of(make_video(partial=True, error="the file ends in the middle of a frame")).text
    assert "This scan is partial: it stopped after 24.0 s, before the end of the video." in partial
    assert "What happened: the file ends in the middle of a frame" in partial
    failed = page_of(make_video(error="the disk is full")).text
    assert "Something went wrong: the disk is full" in failed and "partial" not in failed
    assert "partial" not in page_of(make_video()).text
    several = page_of(make_picture("a.png", (3.0,), partial=True), make_picture("b.png", (3.0,))).text
    assert "This scan is partial: 1 of 2 was not scanned to the end" in several
    assert several.count("Partial scan.") == 1


def test_pictures_have_a_row_each_and_no_timeline() -> None:
    pictures = [make_picture("one.jpg", (3.1,)), make_picture("two.png", (-3.5, 0.3)), make_picture("none.webp", ())]
    page = page_of(*pictures)
    assert not page.all("svg", "plot")
    assert "Verdicts on 3 pictures 1 AI-GENERATED 2 CAN'T TELL" in page.text
    assert "two.png CAN'T TELL 1: REAL, 3 % 2: CAN'T TELL, 57 % face 2: undecided" in page.text
    assert "none.webp CAN'T TELL no face no face was found" in page.text
    assert "x 200–290, y 40–140 px" in page.text
    assert len(page.all("img", "thumb")) == 3
    assert [image.shape[0] for image in pictures_in(page)].count(72) == 3


def test_many_faces_are_listed_but_not_all_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DETAILED", 3)
    video = make_video(tuple(np.linspace(-4.0, 4.0, 10)))
    page = page_of(video)
    assert {a["id"] for a in page.all("section", "face")} == {f"source-1-face-{i}" for i in (8, 9, 10)}
    assert "Of 10 faces, the 3 that speak most for AI generation have a section of their own; the other 7" in page.text
    assert "Only 8 faces are drawn" in page.text and "2 more are in the table." in page.text
    rows = [text for tag, text in page.texts if tag in ("th", "a")]
    assert all(str(track.id) in rows for track in video.tracks)
    assert len({a["class"] for a in page.all("g", "track")}) == module.LINES


def test_card_settings_and_limits_are_there() -> None:
    video = make_video()
    card, text = video.consensus.cards[0], page_of(video).text
    for part in (card.name, card.summary, card.created, card.intended_use, card.terms, card.cpu_form, video.device):
        assert part in text
    for limit in card.limits:
        assert text.count(limit) == 1
    for file in card.files.values():
        assert f"{file.name} {file.sha256}" in text
    assert "measured on pictures auc accuracy tpr at 1 percent fpr validation 1020 0.9873 0.951 0.812 test" in text
    assert "test 2040 0.9811 0.943 – measured on ms per face speed 6.31" in text
    assert "learning rate 0.0003 mirrored yes stopped early –" in text
    assert "smoothing ewma limit s – save crops no" in text
    assert "calibrated on 1,020 validation pictures" in text
    assert page_of(video, make_picture("a.png", (1.0,))).text.count(card.summary) == 1


def test_times_for_people() -> None:
    assert [module._time(t) for t in (0, 59.94, 59.96, 125.3, 7384.5)] == [
        "0.0 s", "59.9 s", "1 min 0.0 s", "2 min 5.3 s", "2 h 3 min 4.5 s",
    ]  # fmt: skip


def test_a_report_needs_a_source() -> None:
    with pytest.raises(ValueError, match="at least one"):
        render_report([], title="t", created=CREATED)


def test_write_replaces_whole_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", _no_space)
        with pytest.raises(UnmaskError, match=re.escape(str(path))):
            write_report(path, [make_video(())], title="t", created=CREATED)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]
    write_report(path, [make_video(())], title="t", created=CREATED)
    assert path.read_bytes() == render_report([make_video(())], title="t", created=CREATED).encode()
    assert list(tmp_path.iterdir()) == [path]


def _no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")
