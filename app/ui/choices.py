"""What people choose and what is remembered of it: the source on show and the settings that last."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from PySide6.QtCore import QSettings, QStandardPaths

from app import DEMO
from app.core.records import Frame, ImageU8
from app.models.artifact import DEFAULT_MODEL
from app.vision.analyzer import AnalyzerOptions
from app.vision.live_sources import opener
from app.vision.sources import PICTURE_SUFFIXES, VIDEO_SUFFIXES, FrameSource, is_url, read_image

DEVICES = ("auto", "cpu", "gpu")
RECENT = 8
"""Sources kept in the list of recent ones."""

_CAMERA = "camera:"
_SCREEN = re.compile(r"screen(?::(\d+),(\d+),(\d+),(\d+))?$")


class SourceKind(StrEnum):
    CAMERA = "camera"
    FILE = "file"
    PICTURE = "picture"
    STREAM = "stream"
    SCREEN = "screen"


@dataclass(frozen=True, slots=True)
class SourceChoice:
    """A source that can be opened; choosing one opens nothing yet.

    Attributes:
        address: what ``python -m app live --source`` takes for it.
        title: for people.
    """

    kind: SourceKind
    address: str
    title: str

    @classmethod
    def of(cls, text: str) -> Self:
        """The choice that an address stands for: a camera's number or name, ``screen``, ``demo``, a URL or a path."""
        if text.isascii() and text.isdecimal():
            return cls(SourceKind.CAMERA, text, f"Camera {int(text)}")
        if text.startswith(_CAMERA):
            return cls(SourceKind.CAMERA, text, text.removeprefix(_CAMERA))
        if region := _SCREEN.match(text):
            return cls(SourceKind.SCREEN, text, "Part of the screen" if region[1] else "The screen")
        if text == "demo":
            return cls(SourceKind.FILE, str(DEMO), "Demo clip")
        if is_url(text):
            parts = urlsplit(text)
            # A title is shown and written down: it must not hold the password of a camera's address.
            return cls(SourceKind.STREAM, text, f"{parts.hostname or text}{parts.path}")
        if text == str(DEMO):
            return cls(SourceKind.FILE, text, "Demo clip")
        kind = SourceKind.PICTURE if Path(text).suffix.lower() in PICTURE_SUFFIXES else SourceKind.FILE
        return cls(kind, text, Path(text).name or text)

    @property
    def is_live(self) -> bool:
        """Newest frame wins; there is nothing to seek in."""
        if self.kind is SourceKind.STREAM:
            return opener(self.address)[1]
        return self.kind in (SourceKind.CAMERA, SourceKind.SCREEN)

    @property
    def may_be_remembered(self) -> bool:
        return not (self.kind is SourceKind.STREAM and "@" in urlsplit(self.address).netloc)

    def open(self) -> FrameSource:
        """Open it; called on the engine's own thread.

        Raises:
            UnmaskError: it cannot be opened.
        """
        if self.kind is SourceKind.PICTURE:
            return PictureSource(Path(self.address))
        return opener(self.address)[0]()


class PictureSource:
    """A picture as a stream of one frame, so that the window shows pictures the way it shows everything else.

    Raises:
        UnmaskError: the file cannot be read as a picture.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._image: ImageU8 | None = read_image(path)
        self.height, self.width = self._image.shape[:2]
        self.fps = 25.0
        self.frame_count: int | None = 1

    def read(self) -> Frame | None:
        image, self._image = self._image, None
        return None if image is None else Frame(0, 0.0, image)

    def skip(self, count: int) -> int:
        return 1 if count > 0 and self.read() is not None else 0

    def close(self) -> None:
        self._image = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What the settings dialog offers.

    Attributes:
        threshold: probability from which a face is AI-GENERATED; None takes the model's own.
        score_interval_s: an unchanged face is scored again after this many seconds; by default on every picture of a
            source of up to 30 a second, as far as the machine keeps up.
        smoothing_s: how slowly what the picture shows follows the scores, seconds.
        min_size: faces with a shorter side below this are not judged, pixels; None takes the model's own.
        device: one of ``DEVICES``.
        models: names of those that judge, together where there are several.
        output: folder of recordings, snapshots and reports.
        notify: tell through the desktop when a face turns to AI-GENERATED.
        mirror: show cameras like a mirror.
        reopen: at the start, go on with the last source. Off unless asked for: a camera that goes on by itself, or a
            film that begins to play, is a bad surprise.
        redact: pixelate faces that are not flagged in all that is kept; of this run only, from the command line.
    """

    threshold: float | None = None
    score_interval_s: float = 0.03
    smoothing_s: float = 0.7
    min_size: int | None = None
    device: str = "auto"
    models: tuple[str, ...] = (DEFAULT_MODEL,)
    output: Path = Path("Unmask")
    notify: bool = False
    mirror: bool = True
    reopen: bool = False
    redact: bool = False

    def analyzer_for(self, choice: SourceChoice) -> AnalyzerOptions:
        """What the engine goes by; it may change while it runs."""
        options = AnalyzerOptions(
            score_interval_s=self.score_interval_s,
            threshold=self.threshold,
            min_size_px=self.min_size,
            smoothing_s=self.smoothing_s,
            max_scores_per_frame=1,
        )
        if choice.kind is SourceKind.PICTURE:
            # A picture is seen once: one score must do, by all views, and every face gets it.
            return replace(options, min_scores=1, max_scores_per_frame=None, all_views=True)
        return options

    def needs_reload(self, before: Settings) -> bool:
        """Whether a change from ``before`` takes effect only when the models are loaded anew."""
        return (self.device, self.models) != (before.device, before.models)


class Memory:
    """The settings and the recent sources as they lie in ``QSettings``; what cannot be read there is the default."""

    def __init__(self, store: QSettings) -> None:
        self.store = store

    def settings(self) -> Settings:
        movies = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.MoviesLocation)
        default = Settings(output=Path(movies or Path.home()) / "Unmask")
        threshold = self._number("threshold", -1.0, -1.0, 1.0)
        min_size = round(self._number("min_size", 0, 0, 1000))
        device = str(self.store.value("device", default.device))
        return Settings(
            threshold=threshold if threshold >= 0 else None,
            score_interval_s=self._number("score_interval_s", default.score_interval_s, 0.0, 5.0),
            smoothing_s=self._number("smoothing_s", default.smoothing_s, 0.05, 5.0),
            min_size=min_size if min_size > 0 else None,
            device=device if device in DEVICES else default.device,
            models=tuple(str(self.store.value("model", ",".join(default.models))).split(",")),
            output=Path(str(self.store.value("output", default.output))),
            notify=self.flag("notify", default.notify),
            mirror=self.flag("mirror", default.mirror),
            reopen=self.flag("reopen", default.reopen),
        )

    def keep(self, settings: Settings) -> None:
        values: dict[str, Any] = {
            "threshold": -1.0 if settings.threshold is None else settings.threshold,
            "score_interval_s": settings.score_interval_s,
            "smoothing_s": settings.smoothing_s,
            "min_size": settings.min_size or 0,
            "device": settings.device,
            # Under the name that it had when there was only one; an INI file would read a list of one as a text.
            "model": ",".join(settings.models),
            "output": str(settings.output),
            "notify": settings.notify,
            "mirror": settings.mirror,
            "reopen": settings.reopen,
        }
        for key, value in values.items():
            self.store.setValue(key, value)

    def recent(self) -> list[SourceChoice]:
        """The last sources, the newest first."""
        value = self.store.value("recent", [])
        # An INI file gives a list of one back as the bare string.
        texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        return [SourceChoice.of(str(text)) for text in texts if text][:RECENT]

    def remember(self, choice: SourceChoice) -> None:
        if choice.may_be_remembered:
            others = [c.address for c in self.recent() if c.address != choice.address]
            self.store.setValue("recent", [choice.address, *others][:RECENT])

    def to_reopen(self) -> SourceChoice | None:
        """The source to go on with at the start; None where that is not wanted, or there was none."""
        return next(iter(self.recent()), None) if self.settings().reopen else None

    def flag(self, key: str, default: bool) -> bool:
        return str(self.store.value(key, default)).lower() in ("true", "1")

    def _number(self, key: str, default: float, low: float, high: float) -> float:
        try:
            value = float(str(self.store.value(key, default)))
        except ValueError:
            return default
        return value if low <= value <= high else default


def file_patterns() -> tuple[str, str]:
    """Name patterns of the video and the picture files that can be opened, for a file dialog."""
    videos, pictures = (" ".join(f"*{s}" for s in sorted(kind)) for kind in (VIDEO_SUFFIXES, PICTURE_SUFFIXES))
    return videos, pictures
