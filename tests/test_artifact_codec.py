"""Names of rows on disk: every kind returns as it went in, and nothing else passes for a file of names."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.artifact import ArtifactCorrupt, ArtifactMissing, Ids

INTS = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1)
UUIDS = st.lists(st.uuids(), min_size=1)
TEXTS = st.lists(st.text(), min_size=1)
MIXED = st.lists(st.one_of(st.integers(), st.uuids(), st.text(), st.booleans()), min_size=2)
NAMES = st.one_of(INTS, UUIDS, TEXTS, MIXED)
CORRUPT = {
    "empty": b"",
    "short": b"LIMIDS01",
    "foreign": b"\x7fELF" + bytes(60),
    "kind 0": struct.pack("<8sIIQ", b"LIMIDS01", 0, 0, 0),
    "kind 4": struct.pack("<8sIIQ", b"LIMIDS01", 4, 0, 0),
    "too few": struct.pack("<8sIIQ", b"LIMIDS01", 1, 0, 3) + bytes(16),
    "too many": struct.pack("<8sIIQ", b"LIMIDS01", 2, 0, 1) + bytes(32),
    "half a number": struct.pack("<8sIIQ", b"LIMIDS01", 1, 0, 1) + bytes(7),
    "huge count": struct.pack("<8sIIQ", b"LIMIDS01", 3, 0, 2**64 - 1) + bytes(64),
    "no offsets": struct.pack("<8sIIQ", b"LIMIDS01", 3, 0, 1) + bytes(8),
    "first offset": struct.pack("<8sIIQ2Q", b"LIMIDS01", 3, 0, 1, 1, 2) + b"ab",
    "last offset": struct.pack("<8sIIQ2Q", b"LIMIDS01", 3, 0, 1, 0, 3) + b"ab",
    "falling": struct.pack("<8sIIQ4Q", b"LIMIDS01", 3, 0, 3, 0, 2, 1, 2) + b"ab",
    "offset above 2**63": struct.pack("<8sIIQ3Q", b"LIMIDS01", 3, 0, 2, 0, 2**63, 2) + b"ab",
    "not UTF-8": struct.pack("<8sIIQ2Q", b"LIMIDS01", 3, 0, 1, 0, 2) + b"\xff\xfe",
    "cut letter": struct.pack("<8sIIQ3Q", b"LIMIDS01", 3, 0, 2, 0, 1, 2) + "ä".encode(),
}


def shown(name: object) -> object:
    """What a name reads as when all are of one kind."""
    return str(name) if isinstance(name, UUID) else name


@given(st.one_of(INTS, UUIDS, TEXTS))
def test_one_kind_returns(names: list[int] | list[UUID] | list[str]) -> None:
    expected = [shown(name) for name in names]
    ids = Ids.open(Ids.encode(names))
    assert ids.kind == {int: "int", UUID: "uuid", str: "str"}[type(names[0])]
    assert list(ids) == [ids[number] for number in range(len(ids))] == expected
    assert ids.to_bytes() == Ids.encode(names)


@given(MIXED)
def test_mixed_kinds_are_text(names: list[int | UUID | str]) -> None:
    ids = Ids.open(Ids.encode(names))
    if ids.kind == "str":
        assert list(ids) == [str(name) for name in names]
    else:
        assert len({type(name) for name in names}) == 1
        assert list(ids) == [shown(name) for name in names]


@pytest.mark.parametrize(
    ("names", "kind"),
    [([], "str"), ([2**63], "str"), ([-(2**63)], "int"), ([True], "str"), ([1, "1"], "str"), ([uuid4(), 1], "str")],
)
def test_kind(names: list[object], kind: str) -> None:
    ids = Ids.open(Ids.encode(names))
    assert (ids.kind, list(ids)) == (kind, [str(name) for name in names] if kind == "str" else names)


def test_array_of_numbers_and_size_on_disk() -> None:
    numbers = np.arange(-500, 500)
    assert Ids.encode(numbers) == Ids.encode(numbers.tolist())
    assert len(Ids.encode(numbers)) == 24 + 8 * 1000
    assert len(Ids.encode([uuid4() for _ in range(1000)])) == 24 + 16 * 1000
    assert len(Ids.encode(["ab"] * 1000)) == 24 + 8 * 1001 + 2000


@given(NAMES)
def test_find_gives_the_first_row_of_a_name(names: list[int | UUID | str]) -> None:
    ids = Ids.open(Ids.encode(names))
    seen = list(ids)
    assert [ids.find(name) for name in seen] == [seen.index(name) for name in seen]


@pytest.mark.parametrize("names", [[1, 2], [UUID(int=1), UUID(int=2**120)], ["1", "two", ""]])
def test_find_says_what_is_not_there(names: list[int | UUID | str]) -> None:
    ids = Ids.open(Ids.encode(names))
    for name in (3, 2**70, -1, "three", str(UUID(int=3)), "ä"):
        assert ids.find(name) is None
    if ids.kind == "uuid":
        assert ids.find(str(names[1]).upper()) == 1
        assert ids.find(str(names[1]).replace("-", "")) == 1


@given(st.lists(NAMES, max_size=4))
def test_a_stream_of_parts(parts: list[list[int | UUID | str]]) -> None:
    pieces = [Ids.of(part) for part in parts]
    ids = Ids.open(b"".join(bytes(chunk) for chunk in Ids.stream(lambda: iter(pieces))))
    expected = [name for piece in pieces for name in piece]
    if len({piece.kind for piece in pieces}) == 1:
        assert ids.kind == pieces[0].kind
        assert list(ids) == expected
    else:
        assert [str(name) for name in ids] == [str(name) for name in expected]


@given(NAMES, st.data())
def test_cut(names: list[int | UUID | str], data: st.DataObject) -> None:
    ids = Ids.of(names)
    start = data.draw(st.integers(0, len(names)))
    stop = data.draw(st.integers(start, len(names)))
    assert list(ids.cut(slice(start, stop))) == list(ids)[start:stop]


@given(NAMES, st.data())
def test_select_and_take(names: list[int | UUID | str], data: st.DataObject) -> None:
    ids = Ids.of(names)
    positions = np.array(data.draw(st.lists(st.integers(0, len(names) - 1))), np.int64)
    chosen = [ids[int(position)] for position in positions]
    assert ids.take(positions) == ids.take(positions.tolist()) == chosen
    if len(positions):
        assert list(ids.select(positions)) == chosen
        assert ids.select(positions).kind == ids.kind


@pytest.mark.parametrize("names", [[7, 8], [UUID(int=7), UUID(int=8)], ["a", "b"]])
def test_rows_outside_are_refused(names: list[int | UUID | str]) -> None:
    ids = Ids.of(names)
    for number in (-1, 2, 10**9):
        with pytest.raises(IndexError, match=f"row number: expected 0 to 1, got {number}"):
            ids[number]
    ids.close()
    assert len(ids) == 0


@pytest.mark.parametrize("names", [list(range(1000)), [uuid4() for _ in range(100)], ["ä" * n for n in range(50)]])
def test_mapped_file(names: list[int | UUID | str], tmp_path: Path) -> None:
    path = tmp_path / "ids.dat"
    path.write_bytes(Ids.encode(names))
    ids = Ids.open(path)
    assert list(ids) == [shown(name) for name in names]
    path.unlink()  # what is mapped stays
    assert ids[len(names) - 1] == shown(names[-1])
    ids.close()
    assert len(ids) == 0


@pytest.mark.parametrize("name", CORRUPT)
def test_corrupt(name: str, tmp_path: Path) -> None:
    path = tmp_path / "ids.dat"
    path.write_bytes(CORRUPT[name])
    for source in (path, CORRUPT[name]):
        with pytest.raises(ArtifactCorrupt, match=r"^ids(\.dat)?: expected"):
            list(Ids.open(source))


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match=r"people\.dat"):
        Ids.open(tmp_path / "people.dat")


@given(NAMES, st.data())
def test_any_cut_is_noticed(names: list[int | UUID | str], data: st.DataObject) -> None:
    whole = Ids.encode(names)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ArtifactCorrupt):
        list(Ids.open(whole[:cut]))


@given(st.binary(max_size=80))
def test_any_bytes_are_names_or_corrupt(data: bytes) -> None:
    for source in (data, b"LIMIDS01" + data):
        try:
            ids = Ids.open(source)
        except ArtifactCorrupt:
            continue
        assert len(list(ids)) == len(ids)


def test_keys_tell_names_apart() -> None:
    for names in ([5, 3, 5], [UUID(int=0), UUID(int=1), UUID(int=0)], ["a", "", "a"]):
        keys = Ids.of(names).keys()
        assert [(one == other) for one in keys.tolist() for other in keys.tolist()] == [
            (one == other) for one in names for other in names
        ]
        assert len(pickle.dumps(keys)) < 1000
