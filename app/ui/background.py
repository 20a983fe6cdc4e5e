"""Work that must not hold up the window: done in Qt's thread pool, answered on the window's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, QRunnable, QThreadPool, Signal, Slot

from app.core.errors import UnmaskError


class _Reply(QObject):
    """Lives on the window's thread; the pool's thread emits, Qt queues."""

    arrived = Signal(object, object)

    def __init__(self, parent: QObject, on_done: Callable[[Any], None], on_error: Callable[[str], None]) -> None:
        super().__init__(parent)
        self._on_done, self._on_error = on_done, on_error
        self.arrived.connect(self._deliver)

    @Slot(object, object)
    def _deliver(self, result: Any, error: str | None) -> None:
        self.deleteLater()
        if error is None:
            self._on_done(result)
        else:
            self._on_error(error)


class _Task(QRunnable):
    def __init__(self, work: Callable[[], Any], reply: _Reply) -> None:
        super().__init__()
        self._work, self._reply = work, reply

    def run(self) -> None:
        result, error = None, None
        try:
            result = self._work()
        except UnmaskError as problem:
            error = str(problem)
        except Exception as problem:
            error = f"this did not work ({type(problem).__name__}: {problem}); please report it"
        try:
            self._reply.arrived.emit(result, error)
        except RuntimeError:
            pass  # The window is gone; nobody waits for the answer.


def in_background(
    parent: QObject, work: Callable[[], Any], on_done: Callable[[Any], None], on_error: Callable[[str], None]
) -> None:
    """Do ``work`` on a thread of the pool and hand its result, or one sentence on what went wrong, to the window.

    Args:
        parent: when it goes, the answer is dropped.
    """
    QThreadPool.globalInstance().start(_Task(work, _Reply(parent, on_done, on_error)))


def finish(seconds: float) -> bool:
    """Wait for what was begun, so that nothing is left half-written; whether it is done."""
    done: bool = QThreadPool.globalInstance().waitForDone(round(seconds * 1000))
    return done
