"""Equal ids, and numbers for people: what a dictionary of all names would say, without one."""

from __future__ import annotations

import tracemalloc
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import duplicates, person_codes
from pipeline.artifact import Ids
from pipeline.hashing import keys_of

SAME = UUID(int=5)
ROW_NAMES = st.one_of(
    st.lists(st.integers(-5, 20), max_size=20),
    st.lists(st.integers(0, 20).map(lambda value: UUID(int=value)), max_size=20),
    st.lists(st.sampled_from(["", "a", "a\0", "aa", "5", str(SAME), "x" * 8, "x" * 9, "ä"]), max_size=20),
)


def by_dictionary(parts: list[Ids]) -> list[tuple[int, int, int, int]]:
    seen: dict[str | int, tuple[int, int]] = {}
    found = []
    for number, names in enumerate(parts):
        for position, name in enumerate(names):
            first = seen.setdefault(name, (number, position))
            if first != (number, position):
                found.append((number, position, *first))
    return found


@pytest.mark.parametrize(("at_once", "suspects"), [(1 << 22, 1 << 17), (7, 3)])
@settings(deadline=None)
@given(names=st.lists(ROW_NAMES, max_size=4))
def test_rows_whose_name_occurred_before(names: list[list[int | UUID | str]], at_once: int, suspects: int) -> None:
    """Of one kind, and of several, where a UUID is its text but a number is not."""
    parts = [Ids.of(some) for some in names]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(duplicates, "AT_ONCE", at_once)
        patched.setattr(duplicates, "SUSPECTS", suspects)
        found = duplicates.duplicates(lambda number: parts[number], [len(part) for part in parts])
    assert [tuple(row) for row in found.tolist()] == by_dictionary(parts)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["", "ann", "bob", "bobby", "b"]), max_size=20), max_size=4),
    st.sampled_from([5, 1 << 20]),
)
def test_people_are_numbered_as_they_come(names: list[list[str]], at_once: int) -> None:
    known: dict[str, int] = {"": -1}
    expected = [known.setdefault(name, len(known) - 1) for some in names for name in some]
    parts = [Ids.of(some) for some in names]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(person_codes, "AT_ONCE", at_once)
        codes = person_codes.person_codes(lambda number: parts[number], [len(part) for part in parts])
    assert codes.dtype == np.int32
    assert codes.tolist() == expected


def test_names_of_equal_keys_are_still_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name gets one of two keys: all are suspects, and only equal names are duplicates."""
    monkeypatch.setattr(duplicates, "keys_of", lambda names: np.array([len(str(one)) % 2 for one in names], np.uint64))
    parts = [Ids.of(["a", "b", "cc"]), Ids.of(["b", "dd", "a", "e"])]
    found = duplicates.duplicates(lambda number: parts[number], [3, 4])
    assert found.tolist() == [[1, 0, 0, 1], [1, 2, 0, 0]]


def test_keys_do_not_collide() -> None:
    count = 50_000
    for names in (Ids.of(np.arange(count)), Ids.of([UUID(int=number << 3) for number in range(count)])):
        assert len(np.unique(keys_of(names))) == count
    texts = Ids.of([f"{number}" for number in range(count)])
    assert len(np.unique(keys_of(texts))) == count
    assert not (keys_of(texts) == keys_of(texts, seed=1)).any()
    assert (keys_of(texts) == keys_of(texts)).all()


def test_memory_does_not_grow_with_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """400,000 names of which every second occurs again, in passes of 20,000: a set of them alone would take 16 MB."""
    monkeypatch.setattr(duplicates, "AT_ONCE", 20_000)
    monkeypatch.setattr(duplicates, "SUSPECTS", 2_000)
    size, count = 10_000, 40

    def read(number: int) -> Ids:
        return Ids.of(
            np.arange(number * size, (number + 1) * size) if number < count - 1 else np.arange(0, 2 * size, 2)
        )

    tracemalloc.start()
    try:
        found = duplicates.duplicates(read, [size] * count)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) == size
    assert (found[:, 0] == count - 1).all()
    assert most < 4 << 20
