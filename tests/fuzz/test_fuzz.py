"""The short run: what was made to hurt, but for the slowest, and some mutations. ``make fuzz`` is the long one."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.fuzz.cases import Cases, mutate
from tests.fuzz.watch import Watched

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured through /proc")

SLOW = ("11000", "flat", "is-not", "30000")
"""Hundred megapixels take their time; a file under another's name is nothing new."""
MUTATED = 24


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    return Cases(tmp_path_factory.mktemp("fuzz"), short=True)


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.close()


def test_what_was_made_to_hurt_is_scanned_or_refused(cases: Cases, watched: Watched) -> None:
    numbers = [n for n, (_, name, _) in enumerate(cases.made) if not any(word in name for word in SLOW)]
    outcomes = [watched.judge(cases.case(number)) for number in numbers]
    assert not [outcome for outcome in outcomes if outcome["wrong"]]
    refused = {o["input"].split("-", 1)[-1] for o in outcomes if o["outcome"] == "refused"}
    assert len(refused) > 20 and any(o["outcome"] == "scanned" for o in outcomes)


def test_mutations_are_scanned_or_refused(cases: Cases, watched: Watched) -> None:
    first = len(cases.made)
    outcomes = [watched.judge(cases.case(number)) for number in range(first, first + MUTATED)]
    assert not [outcome for outcome in outcomes if outcome["wrong"]]


def test_a_number_decides_an_input(cases: Cases) -> None:
    number = len(cases.made) + 5
    assert cases.case(number) == cases.case(number) != cases.case(number + 1)


def test_every_mutation_happens() -> None:
    import random

    kinds = {mutate(random.Random(seed), bytearray(range(200)), bytes(100)) for seed in range(300)}
    assert len(kinds) == 9
