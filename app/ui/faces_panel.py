"""Beside the picture: the verdict on everything seen so far and a card for every face."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QImage, QKeyEvent, QMouseEvent, QPainter, QPainterPath, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from app.core.records import FaceResult, ImageU8, Opinion, TrackResult, Verdict
from app.core.scoring import percent, video_opinion
from app.ui.look import described, ink_on, line_of, muted, verdict_colour

if TYPE_CHECKING:
    from app.vision.analyzer import ScoredFace

CARDS = 12
"""Cards shown: faces in the picture first, then the suspicious ones, then the latest."""
THUMBNAIL = 64

MEANINGS = {
    Verdict.REAL: "The model or models see the marks of a photograph. They can err, above all with new kinds of fakes.",
    Verdict.FAKE: "The model or models see marks that AI generators leave. It is a hint to look closer, not a proof.",
    Verdict.UNCERTAIN: "The picture allows no judgement, what speaks for either side is too weak, or models disagree.",
}
PROBABILITY = "The percentage is the estimated probability that the face is AI-generated: a low one speaks for real."


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A face cut from a picture, and how sure the detector was that it is one."""

    image: QImage
    confidence: float


def thumbnail(image: ImageU8, face: FaceResult) -> Thumbnail:
    """The face cut from uint8 BGR ``image``, square, twice the size it is shown at."""
    x0, y0, x1, y1 = face.detection.box.xyxy
    margin = 0.15 * face.detection.box.size
    height, width = image.shape[:2]
    left, right = max(0, round(x0 - margin)), min(width, round(x1 + margin))
    top, bottom = max(0, round(y0 - margin)), min(height, round(y1 + margin))
    side = min(right - left, bottom - top)
    if side < 2:
        return Thumbnail(QImage(), 0.0)
    left, top = left + (right - left - side) // 2, top + (bottom - top - side) // 2
    return Thumbnail(_small(image[top : top + side, left : left + side]), face.detection.confidence)


def of_crop(crop: ImageU8) -> Thumbnail:
    """The face as the model saw it, uint8 RGB: for want of a better picture."""
    return Thumbnail(_small(np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), np.uint8)), 0.0)


def _small(image: ImageU8) -> QImage:
    small = cv2.resize(image, (2 * THUMBNAIL, 2 * THUMBNAIL))
    pixels = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2BGRA), np.uint8)
    picture = QImage(pixels.data, 2 * THUMBNAIL, 2 * THUMBNAIL, 8 * THUMBNAIL, QImage.Format.Format_RGB32)
    return picture.copy()


def wrapped(reason: str) -> str:
    """A reason as a sentence of its own, whose numbers stay with the words before them."""
    return reason[:1].upper() + unbroken(reason[1:])


def unbroken(text: str) -> str:
    """A text whose numbers stay with the words before them."""
    return re.sub(r" (?=[%\d])", "\N{NO-BREAK SPACE}", text)


class Swatch(QWidget):
    """A piece of the line that a face has in the timeline."""

    def __init__(self, track: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._track = track
        self.setFixedSize(THUMBNAIL, 10)
        self.setToolTip("The line of this face in the timeline")

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        pen = line_of(self._track, self.palette())
        pen.setWidth(3)
        painter.setPen(pen)
        painter.drawLine(4, 6, self.width() - 4, 6)
        painter.end()


class VerdictChip(QLabel):
    """A verdict in words on its colour."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self._shown: tuple[Verdict, float | None] | None = None

    def show_opinion(self, opinion: Opinion) -> None:
        if (opinion.verdict, opinion.p_fake) == self._shown:
            return
        self._shown = opinion.verdict, opinion.p_fake
        colour = verdict_colour(opinion.verdict)
        ending = "" if opinion.p_fake is None else f"  ·  AI {percent(opinion.p_fake)}"
        self.setText(opinion.verdict.words + ending)
        self.setToolTip(MEANINGS[opinion.verdict] + ("" if opinion.p_fake is None else f"\n{PROBABILITY}"))
        self.setStyleSheet(
            f"background: {colour.name()}; color: {ink_on(colour).name()};"
            " border-radius: 4px; padding: 2px 8px; font-weight: bold;"
        )


class FaceCard(QFrame):
    """One face: how it looks, what is said of it and why."""

    chosen = Signal(int)

    def __init__(self, track: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.track = track
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip("Click to select this face in the picture")
        self._picture = described(QLabel(), f"Picture of face {track}")
        self._picture.setFixedSize(THUMBNAIL, THUMBNAIL)
        self._name = QLabel(f"Face {track}", alignment=Qt.AlignmentFlag.AlignHCenter)
        bold = self._name.font()
        bold.setBold(True)
        self._name.setFont(bold)
        self._chip = VerdictChip()
        self._reason = QLabel(wordWrap=True)
        self._votes = QLabel(wordWrap=True)
        self._seen = QLabel(wordWrap=True)
        self._clear = 0.0
        self._selected = False
        self._quiet = ""
        texts = QVBoxLayout()
        texts.setSpacing(3)
        texts.addWidget(self._chip)
        texts.addWidget(self._reason)
        texts.addWidget(self._votes)
        texts.addWidget(self._seen)
        texts.addStretch(1)
        looks = QVBoxLayout()
        looks.setSpacing(0)
        looks.addWidget(self._picture)
        looks.addWidget(Swatch(track))
        looks.addWidget(self._name)
        looks.addStretch(1)
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 8, 8, 8)
        row.setSpacing(10)
        row.addLayout(looks)
        row.addLayout(texts, 1)

    def show_face(self, track: TrackResult, picture: Thumbnail | None, now: Opinion | None, *, selected: bool) -> None:
        """Show what is known.

        Args:
            now: what the picture says of the face at this moment; None where it is not in the picture.
        """
        self._chip.show_opinion(track.opinion)
        self._reason.setText(wrapped(track.opinion.reason))
        votes = (f"{v.model}: {v.verdict.words}, AI {percent(v.p_fake)}" for v in track.votes)
        self._votes.setText(unbroken("\n".join(votes)))
        self._votes.setVisible(bool(track.votes))
        where = f"last seen at {clock(track.last_s)}"
        if now is not None:
            # The picture goes by the last second, the card by everything seen: where they differ it is said.
            differs = now.verdict is not track.opinion.verdict
            where = "in the picture now" + (f"; its last second alone: {now.verdict.words}" if differs else "")
        length = track.last_s - track.first_s
        seen = f"Seen for {length:.1f} s in {_many(track.faces, 'frame')}, scored {_many(track.scored, 'time')}"
        self._seen.setText(f"{seen}; {where}")
        # A face that fades or turns away keeps the look it is known by.
        if picture is not None and not picture.image.isNull() and picture.confidence >= self._clear - 0.02:
            self._clear = max(self._clear, picture.confidence)
            self._picture.setPixmap(rounded(picture.image))
        self.setAccessibleName(f"Face {track.id}: {track.opinion.verdict.words}. {track.opinion.reason}")
        if selected != self._selected:
            self._selected = selected
            self.update()
        self._dress()

    def paintEvent(self, event: QPaintEvent) -> None:
        # Drawn here and not by a style sheet, which would hold on to the colours of the day when night falls.
        palette, marked = self.palette(), self._selected or self.hasFocus()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(palette.highlight() if marked else palette.mid(), 2 if self._selected else 1))
        painter.setBrush(palette.base())
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 6, 6)
        painter.end()

    def _dress(self) -> None:
        quiet = muted(self.palette()).name()
        if quiet != self._quiet:
            self._quiet = quiet
            self._seen.setStyleSheet(f"color: {quiet};")
            self._votes.setStyleSheet(f"color: {quiet};")

    @property
    def has_picture(self) -> bool:
        return not self._picture.pixmap().isNull()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.chosen.emit(self.track)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.chosen.emit(self.track)
        else:
            super().keyPressEvent(event)


class FacesPanel(QWidget):
    """The overall verdict and a card per face."""

    face_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._caption = QLabel("All that was seen so far")
        self._overall = VerdictChip()
        font = self._overall.font()
        font.setPointSizeF(font.pointSizeF() * 1.25)
        self._overall.setFont(font)
        self._why = described(QLabel(wordWrap=True), "Reason of the overall verdict")
        self._cards: dict[int, FaceCard] = {}
        self._more = QLabel(wordWrap=True)
        self._list = QVBoxLayout()
        self._list.setContentsMargins(0, 0, 6, 0)
        self._list.setSpacing(6)
        self._list.addWidget(self._more)
        self._list.addStretch(1)
        inside = QWidget()
        inside.setLayout(self._list)
        scroll = described(QScrollArea(widgetResizable=True), "Faces")
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inside)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 10, 4, 8)
        layout.setSpacing(8)
        layout.addWidget(self._caption)
        layout.addWidget(self._overall)
        layout.addWidget(self._why)
        layout.addWidget(scroll, 1)
        # Sideways nothing scrolls: the widest card has to fit beside the bar.
        self._overall.show_opinion(Opinion(Verdict.FAKE, 1.0, ""))
        chip = VerdictChip()
        chip.show_opinion(Opinion(Verdict.FAKE, 1.0, ""))
        around = THUMBNAIL + 60 + scroll.verticalScrollBar().sizeHint().width()
        self.setMinimumWidth(max(self._overall.sizeHint().width() + 14, chip.sizeHint().width() + around))
        self.clear()

    def sizeHint(self) -> QSize:
        return QSize(370, 480)

    @property
    def overall(self) -> str:
        return self._overall.text()

    def clear(self) -> None:
        self.show_tracks([], {}, {}, 0, lambda track: None)

    def show_tracks(
        self,
        tracks: Sequence[TrackResult],
        present: dict[int, Opinion],
        pictures: dict[int, Thumbnail],
        selected: int,
        scored: Callable[[int], ScoredFace | None],
    ) -> None:
        """Bring verdict and cards up to date.

        Args:
            present: what the picture says of the faces in it now, by id.
            pictures: newly made thumbnails; a card keeps the one it has.
            selected: id of the selected face, or 0.
            scored: what the model saw last of a face; shown where a slow machine gave no thumbnail yet.
        """
        opinion = video_opinion(tracks)
        self._overall.show_opinion(opinion)
        self._overall.setAccessibleName(f"Overall verdict: {opinion.verdict.words}")
        self._caption.setVisible(bool(tracks))
        self._overall.setVisible(bool(tracks))
        self._why.setText(wrapped(opinion.reason) if tracks else "No face has been seen yet.")
        order = sorted(tracks, key=lambda t: (t.id not in present, t.opinion.verdict is not Verdict.FAKE, -t.last_s))
        shown = order[:CARDS]
        gone = self._cards.keys() - {t.id for t in shown}
        for track_id in gone:
            card = self._cards.pop(track_id)
            self._list.removeWidget(card)
            card.deleteLater()
        for place, track in enumerate(shown):
            card = self._cards.get(track.id) or self._make_card(track.id)
            if self._list.indexOf(card) != place:
                self._list.removeWidget(card)
                self._list.insertWidget(place, card)
            picture = pictures.get(track.id)
            if picture is None and not card.has_picture and (face := scored(track.id)):
                picture = of_crop(face.crop)
            card.show_face(track, picture, present.get(track.id), selected=track.id == selected)
        left = len(tracks) - len(shown)
        self._more.setText(f"{left} more faces were seen; the report has them all." if left else "")
        self._more.setVisible(left > 0)

    def _make_card(self, track: int) -> FaceCard:
        card = self._cards[track] = FaceCard(track)
        card.chosen.connect(self.face_chosen)
        return card


def rounded(picture: QImage) -> QPixmap:
    """The thumbnail with round corners, for high-density screens too."""
    result = QPixmap(picture.size())
    result.fill(Qt.GlobalColor.transparent)
    painter = QPainter(result)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    path = QPainterPath()
    path.addRoundedRect(result.rect(), 10, 10)
    painter.setClipPath(path)
    painter.drawImage(0, 0, picture)
    painter.end()
    result.setDevicePixelRatio(2)
    return result


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def clock(time_s: float) -> str:
    """A position in a video: "0:07.2", "1:02:03"."""
    minutes, seconds = divmod(max(0.0, time_s), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{seconds:02.0f}" if hours else f"{minutes}:{seconds:04.1f}"
