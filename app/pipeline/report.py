"""The report: one HTML file that explains a scan to people and needs nothing but a browser.

Markup is made by ``templates/report.html.j2`` alone, with autoescape on; here are only numbers, texts and pictures.
"""

from __future__ import annotations

import base64
import itertools
import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
from jinja2 import Environment

from app.core import pages
from app.core.cards import ModelCard, Thresholds
from app.core.files import write_whole
from app.core.records import ImageU8, TrackResult, Verdict
from app.core.scoring import percent, sigmoid
from app.models.gradcam import blended, heatmap
from app.pipeline.records import Highlight, TimelinePoint, VideoReport
from app.vision.sources import without_password

DETAILED = 50
"""Faces with a section of their own in one report; the others are in the tables only."""
MOMENTS = 6
"""Moments shown of one face."""
LINES = 8
"""Lines in the plot of a whole video; more cannot be told apart."""
GAP_S = 1.0
"""A line is broken where its face was away for longer than this."""

# Of the plots, in units of their 900-wide view: the time axis, room for the lines' names, room for the zones' names.
_LEFT, _AXIS_END, _RIGHT = 50.0, 676.0, 736.0
_TOP, _LABEL_PITCH = 14.0, 14.0
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)

_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)

_XY = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    style: int
    segments: tuple[str, ...]
    dots: tuple[_XY, ...]
    end: _XY
    label: _XY


@dataclass(frozen=True, slots=True)
class _Plot:
    about: str
    height: float
    left: float
    right: float
    bottom: float
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    x_title: str
    band: _XY
    zones: tuple[tuple[float, str], ...]
    lines: tuple[_Line, ...]
    marks: tuple[tuple[_XY, _XY], ...]


@dataclass(frozen=True, slots=True)
class _Moment:
    number: int
    time_s: float
    p: float
    toward_fake: bool
    blank: bool
    crop: str
    heat: str


@dataclass(frozen=True, slots=True)
class _Face:
    track: TrackResult
    detailed: bool
    moments: tuple[_Moment, ...]
    plot: _Plot | None
    thumbnail: str | None
    box: tuple[float, float, float, float] | None


@dataclass(frozen=True, slots=True)
class _Part:
    """One source of the report."""

    number: int
    report: VideoReport
    source: str
    name: str
    faces: tuple[_Face, ...]
    overview: _Plot | None
    left_out: int

    @property
    def detailed(self) -> tuple[_Face, ...]:
        return tuple(face for face in self.faces if face.detailed)


def render_report(reports: Sequence[VideoReport], *, title: str, created: datetime) -> str:
    """The report as one self-contained HTML page.

    Args:
        reports: one video, or any number of pictures.
        title: heading of the page.
        created: when; shown with its time zone where it has one.

    Raises:
        ValueError: there is nothing to report on.
    """
    if not reports:
        raise ValueError("a report needs at least one source")
    every = [(i, track) for i, report in enumerate(reports) for track in report.tracks]
    shown = {(i, track.id) for i, track in sorted(every, key=lambda pair: _telling_first(pair[1]))[:DETAILED]}
    parts = [
        _part(i + 1, report, {track for j, track in shown if j == i}, thumbnails=len(reports) > 1)
        for i, report in enumerate(reports)
    ]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=title,
            created=created,
            parts=parts,
            counts=[(v, n) for v in Verdict if (n := sum(r.opinion.verdict is v for r in reports))],
            faces=len(every),
            listed_only=len(every) - len(shown),
            judges=_distinct(report.consensus for report in reports),
            cards=_distinct(card for report in reports for card in report.consensus.cards),
            fitted_on=_distinct(pictures for report in reports for pictures in report.consensus.fitted_on),
            runs=_distinct((report.device, report.settings) for report in reports),
            limits=_limits(card for report in reports for card in report.consensus.cards),
            verdicts=Verdict,
        )
    )


def write_report(path: Path, reports: Sequence[VideoReport], *, title: str, created: datetime) -> None:
    """Write :func:`render_report` to ``path``; a report that is there stays whole until the new one is.

    Raises:
        ValueError: there is nothing to report on.
        UnmaskError: the file cannot be written.
    """
    page = render_report(reports, title=title, created=created)
    write_whole(path, page)


def _part(number: int, report: VideoReport, detailed: set[int], *, thumbnails: bool) -> _Part:
    """Everything the page shows of one source; ``detailed`` are the ids of the tracks with a section of their own."""
    needs = report.consensus.thresholds
    drawn: dict[int, tuple[TimelinePoint, ...]] = {}
    if report.kind != "picture":
        drawn = {t.id: report.timelines[t.id] for t in report.tracks if report.timelines.get(t.id)}
    by_weight = [t.id for t in sorted(report.tracks, key=_telling_first) if t.id in drawn]
    together = sorted(by_weight[:LINES])
    styles = {track: i % LINES for i, track in enumerate(together + by_weight[LINES:])}
    end = max([report.duration_s, *(p.time_s for points in drawn.values() for p in points)])

    overview = None
    if len(drawn) > 1:
        lines = [(f"face {t}", styles[t], drawn[t]) for t in together]
        overview = _plot(f"Probability of AI generation of {len(lines)} faces over time", lines, (0, end), needs, 270)

    faces = []
    for track in report.tracks:
        own = [h for h in report.highlights if h.track == track.id][:MOMENTS] if track.id in detailed else []
        plot = None
        if track.id in detailed and track.id in drawn:
            times = [p.time_s for p in drawn[track.id]] + [h.time_s for h in own]
            span = (0, end) if overview is None else (min(track.first_s, *times), max(track.last_s, *times))
            line = (f"face {track.id}", styles[track.id], drawn[track.id])
            about = f"Probability of AI generation of face {track.id} over time"
            plot = _plot(about, [line], span, needs, 200, own)
        faces.append(
            _Face(
                track=track,
                detailed=track.id in detailed,
                moments=tuple(_moment(i + 1, highlight, track) for i, highlight in enumerate(own)),
                plot=plot,
                thumbnail=_data_uri(own[0].crop, side=72) if own and thumbnails else None,
                box=report.boxes.get(track.id),
            )
        )
    source = without_password(report.source)
    name = re.split(r"[/\\]", source.rstrip("/\\"))[-1] or source
    return _Part(number, report, source, name, tuple(faces), overview, max(0, len(drawn) - LINES))


def _telling_first(track: TrackResult) -> tuple[int, float, int]:
    """Sorting key: the faces that people look for first."""
    rank = {Verdict.FAKE: 0, Verdict.UNCERTAIN: 1, Verdict.REAL: 2}[track.opinion.verdict]
    p = track.opinion.p_fake
    return rank, 1.0 if p is None else -p, -track.faces


def _moment(number: int, highlight: Highlight, track: TrackResult) -> _Moment:
    # The heatmap is the first model's: of several, it goes by what that one says of the face, not by the consensus.
    toward_fake = track.votes[0].p_fake > 0.5 if track.votes else highlight.logit > 0
    heat = heatmap(highlight.evidence, highlight.crop.shape[0], toward_fake=toward_fake)
    return _Moment(
        number=number,
        time_s=highlight.time_s,
        p=sigmoid(highlight.logit),
        toward_fake=toward_fake,
        blank=not heat.any(),
        crop=_data_uri(highlight.crop),
        heat=_data_uri(blended(highlight.crop, heat)),
    )


def _data_uri(image: ImageU8, side: int | None = None) -> str:
    """An RGB picture, made ``side`` pixels wide and high where asked, as a JPEG in a ``data:`` address."""
    small = image if side is None else cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, _JPEG)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def _plot(
    about: str,
    lines: Sequence[tuple[str, int, Sequence[TimelinePoint]]],
    span: tuple[float, float],
    needs: Thresholds,
    height: float,
    moments: Sequence[Highlight] = (),
) -> _Plot:
    """Geometry of a plot: ``lines`` are (name, style, points), ``span`` the seconds it shows, ``moments`` its marks."""
    first, last = span if span[1] - span[0] >= 0.1 else (span[0], span[0] + 1)
    bottom = height - 44

    def x(time_s: float) -> float:
        return round(_LEFT + (time_s - first) / (last - first) * (_AXIS_END - _LEFT), 1)

    def y(p: float) -> float:
        return round(bottom - p * (bottom - _TOP), 1)

    runs = [_runs(points) for _, _, points in lines]
    ends = [(x(run[-1][-1].time_s), y(run[-1][-1].p_fake)) for run in runs]
    labels = _spread([(ex + 7, ey) for ex, ey in ends], 56, _TOP + 4, bottom - 4)
    drawn = [
        _Line(
            name=name,
            style=style,
            segments=tuple(" ".join(f"{x(p.time_s)},{y(p.p_fake)}" for p in run) for run in pieces if len(run) > 1),
            dots=tuple((x(run[0].time_s), y(run[0].p_fake)) for run in pieces if len(run) == 1),
            end=end,
            label=label,
        )
        for (name, style, _), pieces, end, label in zip(lines, runs, ends, labels, strict=True)
    ]
    spots = [(x(h.time_s), y(sigmoid(h.logit))) for h in moments]
    numbers = _spread([(sx, sy + (15 if sy < _TOP + 20 else -11)) for sx, sy in spots], 16, _TOP + 6, bottom - 6)
    zones = [
        (y((1 + needs.fake) / 2), f"AI-GENERATED ≥ {_exact(needs.fake)}"),
        (y(needs.real / 2), f"REAL ≤ {_exact(needs.real)}"),
    ]
    if needs.real < needs.fake:
        middle = y((needs.real + needs.fake) / 2)
        zones.append((middle, f"undecided {_exact(needs.real, '')}–{_exact(needs.fake)}"))
    heights = _spread([(0, zone_y) for zone_y, _ in zones], 1, _TOP, bottom)
    return _Plot(
        about=about,
        height=height,
        left=_LEFT,
        right=_RIGHT,
        bottom=bottom,
        x_ticks=tuple((x(t), label) for t, label in _ticks(first, last)),
        y_ticks=tuple((y(p / 100), f"{p} %") for p in (0, 25, 50, 75, 100)),
        x_title="time, seconds" if last < 120 else "time, minutes:seconds" if last < 3600 else "time, h:mm:ss",
        band=(y(needs.fake), round(y(needs.real) - y(needs.fake), 1)),
        zones=tuple((at[1], text) for at, (_, text) in zip(heights, zones, strict=True)),
        lines=tuple(drawn),
        marks=tuple(zip(spots, numbers, strict=True)),
    )


def _runs(points: Sequence[TimelinePoint]) -> list[list[TimelinePoint]]:
    """``points`` split where the face was away: over GAP_S, and over twice the usual step of a thinned timeline."""
    steps = [b.time_s - a.time_s for a, b in itertools.pairwise(points)]
    limit = max(GAP_S, 2 * statistics.median(steps)) if steps else GAP_S
    runs = [[points[0]]]
    for step, point in zip(steps, points[1:], strict=True):
        if step > limit:
            runs.append([])
        runs[-1].append(point)
    return runs


def _spread(wanted: Sequence[_XY], width: float, low: float, high: float) -> list[_XY]:
    """Where labels of this width go so that none covers another: near what is wanted, x and order as they are."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i][1])
    beside = {i: {j for j in order if abs(wanted[i][0] - wanted[j][0]) < width} for i in order}
    ys = [y for _, y in wanted]
    for n, i in enumerate(order):
        ys[i] = max([low, ys[i], *(ys[j] + _LABEL_PITCH for j in order[:n] if j in beside[i])])
    for n, i in reversed(list(enumerate(order))):
        ys[i] = min([high, ys[i], *(ys[j] - _LABEL_PITCH for j in order[n + 1 :] if j in beside[i])])
    return [(x, round(y, 1)) for (x, _), y in zip(wanted, ys, strict=True)]


def _ticks(first: float, last: float) -> list[tuple[float, str]]:
    """Round times from ``first`` to ``last`` with their labels, nine at most for anything under nine days."""
    step = next((s for s in _STEPS_S if (last - first) / s <= 8), _STEPS_S[-1])
    times = [n * step for n in range(math.ceil(first / step - 1e-9), math.floor(last / step + 1e-9) + 1)]
    return [(t, f"{t:.10g}" if last < 120 else _clock(t, hours=last >= 3600, tenths=step < 1)) for t in times]


def _clock(seconds: float, *, hours: bool, tenths: bool) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    ending = f"{rest:04.1f}" if tenths else f"{rest:02.0f}"
    return f"{minutes // 60:.0f}:{minutes % 60:02.0f}:{ending}" if hours else f"{minutes:.0f}:{ending}"


def _exact(p: float, unit: str = " %") -> str:
    """A threshold, which is exact, unlike a probability."""
    return f"{p * 100:.4g}{unit}"


def _time(seconds: float) -> str:
    """A moment or a duration for people."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds, 1), 60)
    whole = f"{minutes:.0f} min" if minutes < 60 else f"{minutes // 60:.0f} h {minutes % 60:.0f} min"
    return f"{whole} {rest:.1f} s"


def _value(value: object) -> str:
    """A setting, a measure or a note of a card."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _metric_tables(card: ModelCard) -> list[tuple[list[str], dict[str, Mapping[str, Any]]]]:
    """The card's measures, one table (columns, rows) for neighbours that measure the same things."""
    groups = itertools.groupby(card.metrics.items(), key=lambda item: list(item[1]))
    return [(columns, dict(rows)) for columns, rows in groups]


def _limits(cards: Iterable[ModelCard]) -> list[tuple[str, str]]:
    """Every limit of the ``cards`` once, with the names of the models that have it; "" where all do."""
    whose: dict[str, dict[str, None]] = {}
    everyone = set()
    for card in cards:
        everyone.add(card.name)
        for limit in card.limits:
            whose.setdefault(limit, {})[card.name] = None
    return [(limit, "" if names.keys() == everyone else ", ".join(names)) for limit, names in whose.items()]


def _distinct(items: Iterable[Any]) -> list[Any]:
    """``items`` without repetition, in order; they need not be hashable."""
    kept: list[Any] = []
    for item in items:
        if item not in kept:
            kept.append(item)
    return kept


def _environment() -> Environment:
    environment = pages.environment(Path(__file__).parent / "templates")
    environment.filters.update(
        percent=lambda p: "not scored" if p is None else percent(p),
        exact=_exact,
        time=_time,
        value=_value,
        words=lambda name: name.replace("_", " "),
        metric_tables=_metric_tables,
    )
    return environment
