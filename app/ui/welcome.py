"""The first page: where to begin, what the verdicts mean, and what the program cannot know."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QTextBrowser,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.core.records import Opinion, Verdict
from app.ui.faces_panel import MEANINGS, PROBABILITY, VerdictChip, wrapped
from app.ui.look import described, follow, muted

if TYPE_CHECKING:
    from app.core.cards import ModelCard
    from app.core.consensus import Consensus

LIMITS = (
    "A verdict is a hint, never a proof. Look at the picture yourself, and ask where it comes from.",
    "REAL never means that a video is authentic: face swaps, re-synced lips and faces by generators that it was not"
    " trained on are often missed.",
    "Strong compression, blur, make-up or beauty filters can mislead it, both ways.",
    "It judges faces only: not voices, not bodies, not the scene, not who somebody is.",
)
PRIVACY = "Everything is computed on this machine. No picture leaves it."


class WelcomePage(QScrollArea):
    """Shown while no source is open."""

    def __init__(self, starts: list[QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setAccessibleName("Welcome")
        inside = QWidget()
        inside.setMaximumWidth(820)
        column = QVBoxLayout(inside)
        column.setContentsMargins(32, 28, 32, 24)
        column.setSpacing(12)
        column.addWidget(_heading("Is this face AI-generated?", 1.9))
        self._quiet = [QLabel("Choose what to look at, or drop a video or a picture into this window.", wordWrap=True)]
        column.addWidget(self._quiet[0])
        column.addLayout(self._buttons(starts))
        column.addSpacing(10)
        column.addWidget(_heading("What the verdicts mean", 1.25))
        column.addLayout(self._meanings())
        column.addWidget(QLabel(PROBABILITY, wordWrap=True))
        column.addSpacing(10)
        column.addWidget(_heading("What Unmask cannot know", 1.25))
        column.addWidget(
            QLabel(
                "<ul style='margin-left:-22px'>"
                + "".join(f"<li style='margin-bottom:5px'>{limit}</li>" for limit in LIMITS)
                + "</ul>",
                wordWrap=True,
            )
        )
        column.addWidget(QLabel(PRIVACY, wordWrap=True))
        self._quiet.append(QLabel("This page comes back with F1.", wordWrap=True))
        column.addWidget(self._quiet[1])
        column.addStretch(1)
        middle = QWidget()
        row = QHBoxLayout(middle)
        row.setContentsMargins(0, 0, 0, 0)
        row.addStretch(1)
        row.addWidget(inside, 20)
        row.addStretch(1)
        self.setWidget(middle)
        self._dress()

    def changeEvent(self, event: QEvent) -> None:
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_quiet"):
            self._dress()
        super().changeEvent(event)

    def _dress(self) -> None:
        for label in self._quiet:
            label.setStyleSheet(f"color: {muted(self.palette()).name()};")

    def _buttons(self, starts: list[QAction]) -> QGridLayout:
        grid = QGridLayout()
        grid.setSpacing(10)
        for place, action in enumerate(starts):
            button = follow(QToolButton(), action)
            button.setDefaultAction(action)
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
            button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
            button.setIconSize(QSize(28, 28))
            button.setMinimumSize(128, 76)
            grid.addWidget(button, 0, place)
        grid.setColumnStretch(len(starts), 1)
        return grid

    def _meanings(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(8)
        for row, verdict in enumerate((Verdict.FAKE, Verdict.REAL, Verdict.UNCERTAIN)):
            chip = VerdictChip()
            chip.show_opinion(Opinion(verdict, None, ""))
            grid.addWidget(chip, row, 0, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
            grid.addWidget(QLabel(MEANINGS[verdict], wordWrap=True), row, 1)
        grid.setColumnStretch(1, 1)
        return grid


class CardDialog(QDialog):
    """Help: what is known of the models in use."""

    def __init__(self, consensus: Consensus, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("About the model" if consensus.alone else "About the models")
        self.resize(680, 620)
        text = described(QTextBrowser(), "The model's card", "What is known of the model")
        text.setHtml(consensus_html(consensus))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        described(buttons.button(QDialogButtonBox.StandardButton.Close), "Close", "Close this page")
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(text)
        layout.addWidget(buttons)


_FIGURES = {
    "pictures": "pictures",
    "false_alarms": "of photographs flagged",
    "fakes_flagged": "of generated faces flagged",
    "fakes_as_real": "of generated faces called REAL",
    "called_fake": "called AI-GENERATED",
    "called_real": "called REAL",
    "accuracy": "right at even odds",
    "auc": "AUC",
}
"""The figures of a card that people understand, in this order; ``card.json`` and the report have all."""


def consensus_html(consensus: Consensus) -> str:
    """The cards of all members in plain words, and how they judge together."""
    cards = "<hr>".join(card_html(card) for card in consensus.cards)
    if consensus.alone:
        return cards
    needs = consensus.thresholds
    conclusion = "" if consensus.fitted is None else f"<p>{escape(consensus.fitted.conclusion)}</p>"
    return (
        f"<h2>{len(consensus.cards)} models judge together</h2><p>{escape(wrapped(consensus.note))}.</p>{conclusion}"
        f"<p>Together: {Verdict.FAKE.words} from {needs.fake * 100:.4g}&nbsp;%, {Verdict.REAL.words} up to "
        f"{needs.real * 100:.4g}&nbsp;%; {escape(Verdict.UNCERTAIN.words)} between, or where they contradict each "
        f"other too much. The heatmap is that of {escape(consensus.cards[0].name)}.</p><hr>{cards}"
    )


def card_html(card: ModelCard) -> str:
    """The card in plain words."""
    needs = card.thresholds
    figures = {name: _in_words(values) for name, values in card.metrics.items()}
    rows = "".join(
        f"<tr><td>{escape(name)}&nbsp;&nbsp;&nbsp;</td><td>{escape(words)}</td></tr>"
        for name, words in figures.items()
        if words
    )
    return (
        f"<h2>{escape(card.name)}</h2><p>{escape(card.summary.rstrip('.'))}.</p>"
        f"<p><b>Meant for.</b> {escape(card.intended_use)}</p>"
        f"<p><b>Limits.</b></p><ul>{''.join(f'<li>{escape(limit)}</li>' for limit in card.limits)}</ul>"
        f"<p><b>When it says what.</b> {Verdict.FAKE.words} from {needs.fake * 100:.4g}&nbsp;%, "
        f"{Verdict.REAL.words} up to {needs.real * 100:.4g}&nbsp;%, {escape(Verdict.UNCERTAIN.words)} between. "
        f"A face needs {needs.min_size_px:.0f} px and {needs.min_scores} usable pictures.</p>"
        f"<p><b>Terms.</b> {escape(card.terms)}</p>"
        f"<p><b>Made</b> {escape(card.created)}.</p>"
        f"<p><b>How well it did on pictures that it was not trained on.</b></p><table>{rows}</table>"
    )


def _in_words(values: Mapping[str, float | None]) -> str:
    """Figures as a list of words; "" where none is of a kind that people understand."""
    words = []
    for key, name in _FIGURES.items():
        value = values.get(key)
        if value is not None:
            number = f"{value:g}" if key in ("pictures", "auc") else f"{value * 100:.3g}\N{NO-BREAK SPACE}%"
            words.append(f"{number} {name}" if key != "auc" else f"{name} {number}")
    return ", ".join(words)


def _heading(text: str, factor: float) -> QLabel:
    label = QLabel(text, wordWrap=True)
    font = label.font()
    font.setPointSizeF(font.pointSizeF() * factor)
    font.setBold(True)
    label.setFont(font)
    return label
