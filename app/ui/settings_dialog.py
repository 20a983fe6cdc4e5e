"""The settings that last, each with its meaning in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.core.errors import UnmaskError
from app.models.artifact import available, read_consensus
from app.ui.choices import DEVICES, Settings
from app.ui.faces_panel import wrapped
from app.ui.look import described, muted

if TYPE_CHECKING:
    from app.core.consensus import Consensus

SMALLEST = 20
"""Pixels; the detector finds no smaller faces."""

_DEVICE_NAMES = {"auto": "Automatic", "cpu": "Processor (CPU)", "gpu": "Graphics card (GPU)"}


_MODELS_TIP = "What judges the faces. Several judge together; then fewer faces a second are scored."
_DEVICE_TIP = "Which part of the machine computes the scores."
_ANEW = "A change opens the source anew: a file goes on where it is, the faces so far are forgotten, a recording ends."
_ROWS = 4
"""Models in sight at once."""


class ModelList(QListWidget):
    """The models that are there, to be checked; those in use stand first, in their order."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        for name in dict.fromkeys((*names, *available())):
            item = QListWidgetItem(name, self)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if name in names else Qt.CheckState.Unchecked)
        self.setCurrentRow(0)
        row = max(self.sizeHintForRow(0), 1)
        self.setFixedHeight(row * min(self.count(), _ROWS) + 2 * self.frameWidth() + 2)

    @property
    def chosen(self) -> tuple[str, ...]:
        """Names of the checked models, in order."""
        items = (self.item(row) for row in range(self.count()))
        return tuple(item.text() for item in items if item.checkState() is Qt.CheckState.Checked)


class SettingsDialog(QDialog):
    """Shows ``settings``; :meth:`chosen` is what they are when it was accepted.

    Args:
        judge: the models in use, for their own thresholds; None where they could not be read.
        running: a source is on show, which other models or another device interrupt.
    """

    def __init__(
        self, settings: Settings, judge: Consensus | None, parent: QWidget | None = None, *, running: bool = False
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Settings")
        self.setMinimumWidth(760 if running else 560)  # room for the longer hints
        self._before = settings
        self._anew = f" {_ANEW}" if running else ""
        own = judge.thresholds.fake if judge else 0.9
        self.use_own = QCheckBox(
            f"as the model's makers advise ({own * 100:.4g} %)" if judge else "as its makers advise"
        )
        self.threshold = QDoubleSpinBox(minimum=1, maximum=99.9, decimals=1, suffix=" %", singleStep=1)
        self.threshold.setValue(100 * (own if settings.threshold is None else settings.threshold))
        self.use_own.toggled.connect(self.threshold.setDisabled)
        self.use_own.setChecked(settings.threshold is None)
        self.interval = QDoubleSpinBox(minimum=0, maximum=5, decimals=2, suffix=" s", singleStep=0.05)
        self.interval.setSpecialValueText("every picture")
        self.interval.setValue(settings.score_interval_s)
        self.smoothing = QDoubleSpinBox(minimum=0.1, maximum=5, decimals=1, suffix=" s", singleStep=0.1)
        self.smoothing.setValue(settings.smoothing_s)
        self.min_size = QSpinBox(minimum=SMALLEST - 1, maximum=1000, suffix=" px")
        self.min_size.setSpecialValueText(
            f"as the model's makers advise ({judge.thresholds.min_size_px:.0f} px)" if judge else "as its makers advise"
        )
        self.min_size.setValue(settings.min_size or SMALLEST - 1)
        self.device = QComboBox()
        for device in DEVICES:
            self.device.addItem(_DEVICE_NAMES[device], device)
        self.device.setCurrentIndex(DEVICES.index(settings.device))
        self.models = ModelList(settings.models)
        self.output = QLineEdit(str(settings.output))
        self.browse = QPushButton("Choose…")
        self.browse.clicked.connect(self._choose_folder)
        self.mirror = QCheckBox("Show cameras like a mirror")
        self.mirror.setChecked(settings.mirror)
        self.notify = QCheckBox("Tell me through the desktop when a face turns to AI-GENERATED")
        self.notify.setChecked(settings.notify)
        self.reopen = QCheckBox("Go on with the last source when Unmask starts")
        self.reopen.setChecked(settings.reopen)
        self._lay_out()

    def chosen(self) -> Settings:
        return replace(
            self._before,
            threshold=None if self.use_own.isChecked() else round(self.threshold.value() / 100, 4),
            score_interval_s=round(self.interval.value(), 2),
            smoothing_s=round(self.smoothing.value(), 2),
            min_size=self.min_size.value() if self.min_size.value() >= SMALLEST else None,
            device=str(self.device.currentData()),
            models=self.models.chosen,
            output=Path(self.output.text() or str(self._before.output)),
            notify=self.notify.isChecked(),
            mirror=self.mirror.isChecked(),
            reopen=self.reopen.isChecked(),
        )

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setVerticalSpacing(4)
        form.setHorizontalSpacing(14)
        threshold, folder = QHBoxLayout(), QHBoxLayout()
        threshold.setSpacing(12)
        threshold.addWidget(self.threshold)
        threshold.addWidget(self.use_own, 1)
        folder.addWidget(self.output, 1)
        folder.addWidget(self.browse)
        rows: list[tuple[str, QWidget, QHBoxLayout | None, str]] = [
            (
                "AI-GENERATED from",
                self.threshold,
                threshold,
                "A face this probable to be generated is called so. Higher: fewer false alarms, more fakes missed.",
            ),
            ("Smallest face judged", self.min_size, None, "Of smaller faces it says CAN'T TELL: too little to see."),
            ("Smoothed over", self.smoothing, None, "How slowly the verdict in the picture follows. Longer is calmer."),
            ("Score a face every", self.interval, None, "Longer is lighter on the machine, and slower to notice."),
            ("Computed on", self.device, None, _DEVICE_TIP + self._anew),
            ("Models", self.models, None, _MODELS_TIP + self._anew),
            ("Files go to", self.output, folder, "Folder of recordings, snapshots and reports."),
        ]
        for name, control, layout, tip in rows:
            described(control, name, tip)
            if layout is None:
                form.addRow(name, control)
            else:
                form.addRow(name, layout)
            hint = self._hint(tip)
            form.addRow("", hint)
            if control is self.models:
                self._models_hint = hint
                hint.setAlignment(Qt.AlignmentFlag.AlignTop)
        described(self.use_own, self.use_own.text(), "The threshold that was chosen with few false alarms in mind")
        described(self.browse, "Choose the folder", "Choose the folder")
        described(self.mirror, self.mirror.text(), "Recordings and snapshots stay as the camera sees it")
        described(self.notify, self.notify.text(), "For when this window is not in sight")
        form.addRow("", self.mirror)
        form.addRow("", self.notify)
        column = QVBoxLayout(self)
        column.setContentsMargins(18, 16, 18, 14)
        column.addLayout(form)
        column.addSpacing(12)
        column.addStretch(1)
        column.addWidget(self._buttons())

    def _hint(self, text: str) -> QLabel:
        label = QLabel(text, wordWrap=True)
        label.setStyleSheet(f"color: {muted(self.palette()).name()}; margin-bottom: 6px;")
        return label

    def _buttons(self) -> QDialogButtonBox:
        kinds = QDialogButtonBox.StandardButton
        buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel)
        described(buttons.button(kinds.Ok), "OK", "Take and keep these settings")
        described(buttons.button(kinds.Cancel), "Cancel", "Leave the settings as they were")
        self.models.itemChanged.connect(lambda _: self._show_models(buttons.button(kinds.Ok)))
        self._show_models(buttons.button(kinds.Ok))
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        return buttons

    def _show_models(self, ok: QPushButton) -> None:
        """Say how those that are checked would judge together; without any there is nothing to take."""
        ok.setEnabled(bool(self.models.chosen))
        note = "Check at least one." if not self.models.chosen else ""
        if len(self.models.chosen) > 1:
            try:
                note = f"{wrapped(read_consensus(self.models.chosen).note)}."
            except UnmaskError as error:
                note = str(error)
        self._models_hint.setText(f"{_MODELS_TIP} {note}".strip() + self._anew)

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(
            self, "Folder for recordings, snapshots and reports", self.output.text()
        )
        if folder:
            self.output.setText(folder)
