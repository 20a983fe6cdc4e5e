"""Pictures: every face found, scored and judged on its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from app.core.errors import UnmaskError
from app.core.files import ANOTHER_PROJECT, cannot_write, write_whole
from app.core.records import Frame, FrameResult, ImageU8
from app.core.scoring import video_opinion
from app.pipeline.batch import Models, ScanOptions, judging_by, settings_of
from app.pipeline.highlights import Highlights
from app.pipeline.records import VideoReport
from app.pipeline.report import write_report
from app.pipeline.run import safe_name, unique_name, write_summary, write_tracks
from app.pipeline.sinks import face_lines
from app.vision.analyzer import FrameAnalyzer
from app.vision.overlay import draw
from app.vision.redaction import Redactor
from app.vision.sources import read_image


def scan_picture(path: str, models: Models, options: ScanOptions) -> tuple[VideoReport, ImageU8, list[dict[str, Any]]]:
    """Judge every face of a picture; each face is a track with a box.

    Args:
        options: ``options.analyzer`` has ``min_scores`` 1 and ``all_views``: a picture is seen once.

    Returns:
        The report, the annotated picture (uint8 BGR) and the lines for ``faces.jsonl``.

    Raises:
        UnmaskError: the picture cannot be read.
    """
    image = read_image(Path(path))
    highlights = Highlights(per_side=1, redact=options.redact)
    analyzer = FrameAnalyzer(models.detector, models.ensemble, options.analyzer, highlights.offer)
    result = analyzer.analyze(Frame(0, 0.0, image))
    tracks = tuple(analyzer.tracks())
    opinions = {t.id: t.opinion for t in tracks}
    # A picture has no "last second": its faces carry the verdict itself.
    result = FrameResult(0, 0.0, tuple(replace(face, opinion=opinions[face.track]) for face in result.faces))
    annotated = np.array(image)
    if options.redact:
        Redactor().redact(annotated, result)
    draw(annotated, result)
    report = VideoReport(
        source=path,
        kind="picture",
        opinion=video_opinion(tracks),
        frames=1,
        faces=len(result.faces),
        duration_s=0.0,
        tracks=tracks,
        consensus=judging_by(models.consensus, options.analyzer),
        device=models.ensemble.device,
        settings=settings_of(options),
        boxes={face.track: face.detection.box.xyxy for face in result.faces},
        highlights=highlights.of(tracks),
        redacted=options.redact,
    )
    return report, annotated, [{"source": path, **line} for line in face_lines(result)]


def write_picture(path: Path, image: ImageU8) -> None:
    """Write a picture as PNG or JPEG by its suffix, under a temporary name first.

    Raises:
        UnmaskError: it cannot be written.
    """
    ok, data = cv2.imencode(path.suffix, image)
    if not ok:
        raise UnmaskError(f"{path}: the picture cannot be encoded; name a .jpg or .png file")
    write_whole(path, data.tobytes(), ANOTHER_PROJECT)


class PictureRun:
    """The outputs of one run over pictures, in ``folder``: annotated copies, tables and one report.

    Lines are written as they come; pictures in the report are kept for the first :data:`REPORTED` only, so that
    memory stays flat over an archive.
    """

    REPORTED = 500

    def __init__(self, folder: Path, *, save: bool) -> None:
        self._folder = folder
        self._save = save
        self._names: set[str] = set()
        self._reports: list[VideoReport] = []
        self.report: Path | None = None
        try:
            self._lines = (folder / ".faces.partial").open("w", encoding="utf-8")
        except OSError as error:
            raise cannot_write(folder, error, ANOTHER_PROJECT) from None

    def add(self, path: str, models: Models, options: ScanOptions) -> VideoReport:
        """Judge one picture and write what belongs to it.

        Raises:
            UnmaskError: it cannot be read, or an output cannot be written.
        """
        report, annotated, lines = scan_picture(path, models, options)
        try:
            for line in lines:
                self._lines.write(json.dumps(line) + "\n")
            if self._save:
                target = self._folder / "annotated"
                target.mkdir(exist_ok=True)
                write_picture(target / f"{unique_name(safe_name(path), self._names)}.jpg", annotated)
        except OSError as error:
            raise cannot_write(self._folder, error, ANOTHER_PROJECT) from None
        bare = replace(report, highlights=())
        self._reports.append(report if len(self._reports) < self.REPORTED else bare)
        return report

    def finish(self, entries: Sequence[dict[str, Any]]) -> None:
        """Put the tables, the summary of ``entries`` and the report in place.

        Raises:
            UnmaskError: one of them cannot be written.
        """
        try:
            self._lines.close()
            (self._folder / ".faces.partial").replace(self._folder / "faces.jsonl")
            write_tracks(self._folder / "tracks.csv", self._reports)
            write_summary(self._folder / "summary.json", entries)
            if self._reports:
                path = self._folder / "report.html"
                write_report(path, self._reports[: self.REPORTED], title="Unmask: pictures", created=datetime.now(UTC))
                self.report = path
        except OSError as error:
            raise cannot_write(self._folder, error, ANOTHER_PROJECT) from None
