"""The progress bar of a training."""

from __future__ import annotations

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text


def training_progress(batch: int, shown: bool) -> Progress:
    """A bar of steps with the speed in pictures a second, what is left, and the field ``note`` of its tasks.

    Args:
        batch: pictures a step.
        shown: False keeps silent, for all workers but the chief.
    """
    return Progress(
        BarColumn(12),
        MofNCompleteColumn(),
        _Speed(batch),
        TimeRemainingColumn(),
        TextColumn("left,"),
        TextColumn("{task.fields[note]}"),
        disable=not shown,
    )


class _Speed(ProgressColumn):
    def __init__(self, batch: int) -> None:
        super().__init__(Column(no_wrap=True))
        self._batch = batch

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed * self._batch:.1f} pictures/s" if task.speed else "")
