"""Every layout that sets of faces come in, and splits that do not change."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import UnmaskError
from train.datasets import LABELS, SPLITS, Sample, counts
from train.layouts import Shares, read_layout, read_pair


def touch(root: Path, *names: str) -> None:
    """Empty files: layouts are read by name alone."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def table(path: Path, *rows: Sequence[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def seen(samples: Iterable[Sample], root: Path) -> dict[str, tuple[str, str, str]]:
    return {s.path.relative_to(root).as_posix(): (s.split, s.label, s.source) for s in samples}


def test_140k_layout_with_a_manifest(tmp_path: Path) -> None:
    touch(tmp_path, *(f"real_vs_fake/{s}/{c}/1.jpg" for s in SPLITS for c in LABELS))
    table(tmp_path / "manifest.csv", ["path", "generator"], ["real_vs_fake/train/fake/1.jpg", "StyleGAN"])
    found = seen(read_layout(tmp_path), tmp_path)
    assert found["real_vs_fake/train/fake/1.jpg"] == ("train", "fake", "StyleGAN")
    assert found["real_vs_fake/test/real/1.jpg"] == ("test", "real", "real")
    assert len(found) == 6


def test_kaggle_tables_where_1_means_real(tmp_path: Path) -> None:
    head = ["", "original_path", "id", "label", "label_str", "path"]
    for split in SPLITS:
        touch(tmp_path, f"real_vs_fake/real-vs-fake/{split}/real/31355.jpg")
        table(
            tmp_path / f"{split}.csv",
            head,
            [0, "/kaggle/input/flickrfaces/resized/31355.jpg", 31355, 1, "real", f"{split}/real/31355.jpg"],
            [1, "", "A1", 0, "fake", f"{split}/fake/A1.jpg"],
        )
    found = seen(read_layout(tmp_path), tmp_path / "real_vs_fake/real-vs-fake")
    assert found["valid/real/31355.jpg"] == ("valid", "real", "flickrfaces")
    # A picture that a table names but that is not there is told later, with the unreadable ones.
    assert found["test/fake/A1.jpg"] == ("test", "fake", "fake")


@pytest.mark.parametrize("valid", ["val", "valid", "Validation"])
@pytest.mark.parametrize(("real", "fake"), [("real", "fake"), ("0_real", "1_fake"), ("REAL", "FAKE")])
def test_two_class_folders_in_their_spellings(tmp_path: Path, valid: str, real: str, fake: str) -> None:
    touch(tmp_path, f"train/{real}/a.PNG", f"{valid}/{fake}/b.jpeg", f"test/{fake}/c.webp", f"test/{fake}/.hidden.jpg")
    touch(tmp_path, f"train/{fake}/notes.txt", f"train/{fake}/StyleGAN/d.jpg")
    assert seen(read_layout(tmp_path), tmp_path) == {
        f"train/{real}/a.PNG": ("train", "real", "real"),
        f"{valid}/{fake}/b.jpeg": ("valid", "fake", "fake"),
        f"test/{fake}/c.webp": ("test", "fake", "fake"),
        f"train/{fake}/StyleGAN/d.jpg": ("train", "fake", "StyleGAN"),
    }


def test_two_classes_below_generators(tmp_path: Path) -> None:
    touch(tmp_path, "train/progan/person/1_fake/a.png", "val/progan/0_real/b.png", "test/glide/1_fake/c.png")
    assert {v[2] for v in seen(read_layout(tmp_path), tmp_path).values()} == {"progan/person", "progan", "glide"}


def test_a_missing_validation_split_is_taken_from_training(tmp_path: Path) -> None:
    touch(tmp_path, *(f"train/{c}/{i}.jpg" for c in LABELS for i in range(200)), "test/real/t.jpg", "test/fake/t.jpg")
    found = counts(read_layout(tmp_path))
    assert found["test"] == {"real": 1, "fake": 1}
    assert 5 <= found["valid"]["real"] <= 40 and found["train"]["real"] + found["valid"]["real"] == 200


def test_artifact_reads_a_table_for_each_generator(tmp_path: Path) -> None:
    head = ["filename", "image_path", "target", "category"]
    table(tmp_path / "ffhq/metadata.csv", head, ["1.jpg", "images/1.jpg", 0, "face"])
    table(tmp_path / "glide/metadata.csv", head, ["2.jpg", "g/2.jpg", 6, "face"], ["3.jpg", "g/3.jpg", 6, "imagenet"])
    table(tmp_path / "mat/metadata.csv", head, ["4.jpg", "4.jpg", 1, "face"], ["5.jpg", "5.jpg", 0, "face"])
    found = {k: v[1:] for k, v in seen(read_layout(tmp_path, category="Face"), tmp_path).items()}
    assert found == {
        "ffhq/images/1.jpg": ("real", "ffhq"),
        "glide/g/2.jpg": ("fake", "glide"),
        "mat/4.jpg": ("fake", "mat (fake)"),
        "mat/5.jpg": ("real", "mat (real)"),
    }
    assert len(read_layout(tmp_path)) == 5
    with pytest.raises(UnmaskError, match=r"no metadata\.csv lists a picture of the category 'cars'"):
        read_layout(tmp_path, category="cars")


def test_a_folder_of_real_and_one_of_fake_pictures(tmp_path: Path) -> None:
    touch(tmp_path, "ffhq/00000/1.png", "ffhq/2.png", "sfhq/part1/3.jpg", "extra/4.mp4")
    found = read_pair([tmp_path / "ffhq"], [tmp_path / "sfhq", tmp_path / "extra"])
    assert {k: v[1:] for k, v in seen(found, tmp_path).items()} == {
        "ffhq/00000/1.png": ("real", "00000"),
        "ffhq/2.png": ("real", "ffhq"),
        "sfhq/part1/3.jpg": ("fake", "part1"),
        "extra/4.mp4": ("fake", "extra"),
    }
    touch(tmp_path, "both/real/1.png", "both/fake/2.png")
    assert {s.label for s in read_layout(tmp_path / "both")} == {"real", "fake"}


def test_what_is_no_data_set_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for call, words in (
        (lambda: read_layout(tmp_path / "none"), "no such folder"),
        (lambda: read_layout(tmp_path / "empty"), "no known layout here"),
        (lambda: read_layout(tmp_path / "empty", "140k"), "no real_vs_fake/train"),
        (lambda: read_layout(tmp_path / "empty", "kaggle"), "list no pictures"),
        (lambda: read_pair([tmp_path / "empty"], []), "no pictures or videos in it"),
        (lambda: read_pair([], [tmp_path]), "give both --real DIR and --fake DIR"),
        (lambda: Shares(0, 1, 1), "--shares takes three numbers"),
    ):
        with pytest.raises(UnmaskError, match=words):
            call()
    table(tmp_path / "cut/metadata.csv", ["image_path", "target"], ["1.jpg", "zero"])
    with pytest.raises(UnmaskError, match="target is 'zero', not a number"):
        read_layout(tmp_path / "cut")


names = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=20)
shares = st.builds(Shares, st.floats(0.1, 1), st.floats(0, 1), st.floats(0, 1))


@given(names, shares)
def test_a_split_follows_from_the_name_and_the_shares_alone(name: str, share: Shares) -> None:
    split = share.split(name)
    assert split in SPLITS and split == share.split(name)
    assert getattr(share, split) > 0


@given(st.lists(names, unique=True, max_size=30), st.lists(names, max_size=30))
def test_adding_pictures_moves_none(first: list[str], later: list[str]) -> None:
    share = Shares()
    before = {n: share.assigned(Sample(Path("a", f"{n}.png"), "", "real", "x")).split for n in first}
    after = {n: share.assigned(Sample(Path("b", f"{n}.mp4"), "", "fake", "y")).split for n in [*later, *first]}
    assert before.items() <= after.items()


def test_shares_are_kept_and_a_source_can_stay_whole() -> None:
    tally = Counter(Shares(0.7, 0.1, 0.2).split(str(i)) for i in range(10_000))
    assert all(abs(tally[s] / 10_000 - share) < 0.02 for s, share in zip(SPLITS, (0.7, 0.1, 0.2), strict=True))
    whole = Shares(by="source")
    of_source = {
        (source, whole.assigned(Sample(Path(f"{i}.png"), "", "fake", source)).split)
        for source in "abcdefghijklmnop"
        for i in range(20)
    }
    assert len(of_source) == 16 and len({split for _, split in of_source}) > 1
