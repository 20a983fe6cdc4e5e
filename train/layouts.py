"""The layouts in which sets of real and generated faces come, read into samples. Nothing is decoded here."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.core.errors import UnmaskError
from train.datasets import LABELS, SPLITS, Sample

PICTURE_SUFFIXES = frozenset(".jpg .jpeg .png .webp .bmp .tif .tiff".split())
VIDEO_SUFFIXES = frozenset(".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .wmv .flv .gif".split())
FORMATS = ("140k", "kaggle", "two-class", "artifact", "pair")

_SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "dev"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_LABEL_NAMES = {"real": "real", "0_real": "real", "fake": "fake", "1_fake": "fake"}


@dataclass(frozen=True, slots=True)
class Shares:
    """How pictures without a split are split: by a hash of the name, so that adding pictures moves none.

    Attributes:
        train, valid, test: shares, each >= 0, the first > 0; they need not add up to one.
        by: "name" hashes the file's name without its suffix, whatever its folder, so that a video and the fakes
            made of it under the same name stay together; "source" keeps each source whole.

    Raises:
        UnmaskError: no such shares.
    """

    train: float = 0.8
    valid: float = 0.1
    test: float = 0.1
    by: str = "name"

    def __post_init__(self) -> None:
        if not (self.train > 0 and self.valid >= 0 and self.test >= 0):
            raise UnmaskError("--shares takes three numbers for train, valid and test, such as 0.8 0.1 0.1")

    def split(self, key: str) -> str:
        """The split of a name: it depends on the name and the shares alone."""
        place = int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()[:8], "big") / 2**64
        place *= self.train + self.valid + self.test
        if place < self.train:
            return "train"
        return "valid" if place < self.train + self.valid else "test"

    def assigned(self, sample: Sample) -> Sample:
        return replace(sample, split=self.split(sample.source if self.by == "source" else sample.path.stem))


def read_layout(
    root: Path, layout: str | None = None, shares: Shares | None = None, category: str = ""
) -> list[Sample]:
    """Samples of a folder, its layout recognised or named.

    Args:
        layout: one of ``FORMATS``; None recognises it.
        shares: for layouts without splits, and for a missing validation or test split.
        category: of ArtiFact, only rows whose category contains this.

    Raises:
        UnmaskError: the folder does not have this, or any known, layout.
    """
    shares = shares or Shares()
    if not root.is_dir():
        raise UnmaskError(f"{root}: no such folder; give the folder that holds the pictures")
    layout = layout or _recognised(root)
    if layout == "kaggle":
        return _completed(_read_kaggle(root), shares)
    if layout == "artifact":
        return _read_artifact(root, shares, category)
    if layout == "pair":
        children = _children(root, _LABEL_NAMES)
        real, fake = ([p for p, label in children if label == wanted] for wanted in LABELS)
        return read_pair(real, fake, shares)
    return _completed(_read_two_class(root), shares)


def read_pair(real: Sequence[Path], fake: Sequence[Path], shares: Shares | None = None) -> list[Sample]:
    """Samples of folders that are real and fake throughout, such as FFHQ and SFHQ.

    A picture's source is the folder below the one that is given, or that one itself.

    Raises:
        UnmaskError: a folder is missing or holds no pictures or videos.
    """
    samples: list[Sample] = []
    for label, folders in zip(LABELS, (real, fake), strict=True):
        if not folders:
            raise UnmaskError(f"no folder of {label} pictures; give both --real DIR and --fake DIR")
        for folder in folders:
            if not folder.is_dir():
                raise UnmaskError(f"{folder}: no such folder; give a folder of {label} pictures or videos")
            found = [Sample(p, "", label, _source(p, folder, folder.resolve().name)) for p in _media(folder)]
            if not found:
                raise UnmaskError(f"{folder}: no pictures or videos in it; give a folder of {label} ones")
            samples += found
    return [(shares or Shares()).assigned(s) for s in samples]


def _recognised(root: Path) -> str:
    if any(_columns(root / f"{name}.csv") >= {"label_str", "path"} for name in SPLITS):
        return "kaggle"
    if any(_columns(p) >= {"image_path", "target"} for p in _metadata_tables(root)):
        return "artifact"
    if _base(root) != root:
        return "140k"
    if _children(root, _SPLIT_NAMES):
        return "two-class"
    if {label for _, label in _children(root, _LABEL_NAMES)} == set(LABELS):
        return "pair"
    raise UnmaskError(
        f"{root}: no known layout here: no real_vs_fake/train folder, no train/ folder with real/ and fake/, no "
        "metadata.csv of ArtiFact; give the folder that holds these, or --real DIR and --fake DIR"
    )


def _base(root: Path) -> Path:
    """The folder of the splits in the 140k set as it is unpacked, else ``root``."""
    for name in ("real_vs_fake/real-vs-fake", "real_vs_fake", "real-vs-fake"):
        if _children(root / name, _SPLIT_NAMES):
            return root / name
    return root


def _read_two_class(root: Path) -> list[Sample]:
    """``train/ valid/ test/``, each with folders of the two classes, at once or below folders of generators.

    The source is named by ``manifest.csv`` (columns path and generator or source), else by the folder below the
    class, else by those between split and class, else it is the label.
    """
    base = _base(root)
    splits = _children(base, _SPLIT_NAMES)
    if not splits:
        raise UnmaskError(f"{root}: no real_vs_fake/train and no train folder here; give the folder that holds it")
    sources = _manifest(root)
    samples: list[Sample] = []
    for folder, split in splits:
        for class_folder, label in _class_folders(folder):
            between = class_folder.relative_to(folder).parent.as_posix()
            for path in _media(class_folder):
                named = sources.get(path.relative_to(root).as_posix())
                source = named or _source(path, class_folder, label if between == "." else between)
                samples.append(Sample(path, split, label, source))
    if not samples:
        raise UnmaskError(f"{base}: no pictures below train/real, train/fake and so on; check the folder")
    return samples


def _read_kaggle(root: Path) -> list[Sample]:
    """The 140k set by its ``train.csv``, ``valid.csv`` and ``test.csv``; in them a label of 1 means real.

    The source is the data set that ``original_path`` names (``/kaggle/input/NAME/...``), else the label.
    """
    base = _base(root)
    samples: list[Sample] = []
    for split in SPLITS:
        table = root / f"{split}.csv"
        for row in _rows(table, {"label_str", "path"}) if table.is_file() else ():
            label = row["label_str"].strip().lower()
            if label not in LABELS:
                raise UnmaskError(f"{table}: label_str is {label!r}, neither real nor fake; mend that row")
            parts = Path(row.get("original_path") or "").parts
            source = parts[parts.index("input") + 1] if "input" in parts[:-2] else label
            samples.append(Sample(base / row["path"], split, label, source))
    if not samples:
        raise UnmaskError(f"{root}: train.csv, valid.csv and test.csv list no pictures; check the folder")
    return samples


def _read_artifact(root: Path, shares: Shares, category: str) -> list[Sample]:
    """ArtiFact: a folder for each generator or set of photographs, each with its ``metadata.csv``.

    Its columns are filename, image_path (below that folder), target (0 is real, any other fake) and category.
    """
    samples: list[Sample] = []
    for table in _metadata_tables(root):
        for row in _rows(table, {"image_path", "target"}):
            if category.lower() in (row.get("category") or "").lower():
                try:
                    label = LABELS[int(float(row["target"])) != 0]
                except ValueError:
                    raise UnmaskError(f"{table}: target is {row['target']!r}, not a number; mend that row") from None
                path = table.parent / row["image_path"]
                samples.append(shares.assigned(Sample(path, "", label, table.parent.resolve().name)))
    if not samples:
        raise UnmaskError(f"{root}: no metadata.csv lists a picture of the category {category!r}; check both")
    mixed = {s.source for s in samples if s.label == "real"} & {s.source for s in samples if s.label == "fake"}
    return [replace(s, source=f"{s.source} ({s.label})") if s.source in mixed else s for s in samples]


def _completed(samples: Sequence[Sample], shares: Shares) -> list[Sample]:
    """Where there is no validation or no test split, its share is taken from the training split by hash."""
    missing = {split for split in SPLITS[1:] if not any(s.split == split for s in samples)}
    if not missing or not any(s.split == "train" for s in samples):
        return list(samples)
    assigned = ((s, shares.assigned(s)) for s in samples)
    return [new if old.split == "train" and new.split in missing else old for old, new in assigned]


def _media(folder: Path) -> Iterator[Path]:
    """Pictures and videos below ``folder``, sorted; links to folders are followed, hidden files are not."""
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES:
                yield Path(parent, name)


def _children(folder: Path, names: Mapping[str, str]) -> list[tuple[Path, str]]:
    """Folders in ``folder`` that are called one of ``names``, with what that name means."""
    if not folder.is_dir():
        return []
    return [(p, names[p.name.lower()]) for p in sorted(folder.iterdir()) if p.is_dir() and p.name.lower() in names]


def _class_folders(folder: Path, depth: int = 3) -> Iterator[tuple[Path, str]]:
    """Folders of a class at most ``depth`` below ``folder``; not looked for below each other."""
    for child in sorted(p for p in folder.iterdir() if p.is_dir()):
        label = _LABEL_NAMES.get(child.name.lower())
        if label:
            yield child, label
        elif depth > 1:
            yield from _class_folders(child, depth - 1)


def _source(path: Path, folder: Path, otherwise: str) -> str:
    parts = path.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else otherwise


def _manifest(root: Path) -> dict[str, str]:
    """Source of each path that ``manifest.csv`` names; empty where there is none."""
    table = root / "manifest.csv"
    if not table.is_file():
        return {}
    return {row["path"]: row.get("generator") or row.get("source") or "" for row in _rows(table, {"path"})}


def _metadata_tables(root: Path) -> list[Path]:
    return [p for p in (root / "metadata.csv", *sorted(root.glob("*/metadata.csv"))) if p.is_file()]


def _columns(table: Path) -> set[str]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            return set(next(csv.reader(file), []))
    except (OSError, UnicodeDecodeError, csv.Error):
        return set()


def _rows(table: Path, needed: set[str]) -> Iterator[dict[str, str]]:
    missing = needed - _columns(table)
    if missing:
        raise UnmaskError(f"{table}: no column {' or '.join(sorted(missing))}; give the table as it was published")
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                if any(row.get(name) is None for name in needed):
                    raise UnmaskError(f"{table}: a row is cut off; give the table as it was published")
                yield row
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnmaskError(f"{table}: cannot be read ({error}); give the table as it was published") from None
