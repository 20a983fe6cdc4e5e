"""A file is there as a whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from app.core.errors import UnmaskError
from app.core.files import whole_file, write_whole


def test_a_file_takes_its_place_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("before")
    with whole_file(path) as partial:
        partial.write_text("after")
        assert path.read_text() == "before" and partial.suffix == ".csv"
    assert path.read_text() == "after" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("trouble", [OSError(errno.ENOSPC, "No space left on device"), ValueError("of another kind")])
def test_what_was_there_stays_where_writing_fails(tmp_path: Path, trouble: Exception) -> None:
    path = tmp_path / "table.csv"
    path.write_text("before")
    with pytest.raises((UnmaskError, ValueError)) as caught, whole_file(path, "name another --run") as partial:
        partial.write_text("half")
        raise trouble
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
    if isinstance(trouble, OSError):
        told = f"{path}: cannot be written (No space left on device); free some space or name another --run"
        assert str(caught.value) == told


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnmaskError, match=r"cannot be written \(.+\); free some space or write to another folder"):
        write_whole(tmp_path / "none" / "a.json", "{}")


def test_names_that_are_no_text_can_be_written(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.json", "caf\udce9")
    write_whole(tmp_path / "b.bin", b"\x00\xff")
    assert (tmp_path / "a.json").read_bytes() == b"caf\\udce9" and (tmp_path / "b.bin").read_bytes() == b"\x00\xff"
