"""Lists of candidates become one, as sorting all of them would make it."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from matcher.merge import Answer, Candidate, Face, Part, across, merge_parts, merge_people, merge_shards

similarities = st.integers(-8, 8).map(lambda eighths: eighths / 8)  # few values, so that there are many equals


def best_first(found: list[Candidate]) -> list[Candidate]:
    return sorted(found, key=lambda candidate: -candidate.similarity)


def lists(ids: st.SearchStrategy[int]) -> st.SearchStrategy[list[list[Candidate]]]:
    return st.lists(st.lists(st.builds(Candidate, ids, similarities), max_size=12).map(best_first), max_size=5)


@given(lists(st.integers(0, 1 << 40)), st.integers(1, 40))
def test_shards_merge_as_sorting_everything_would(parts: list[list[Candidate]], limit: int) -> None:
    everything = best_first([candidate for part in parts for candidate in part])  # sorted() is stable, as the merge is
    distinct = list({candidate.id: candidate for candidate in reversed(everything)}.values())
    expected = [candidate for candidate in everything if candidate in distinct]
    assert len({candidate.id for candidate in everything}) == len(distinct)
    assert list(merge_shards(parts, limit)) == list(dict.fromkeys(expected))[:limit]


@given(lists(st.integers(0, 5)), st.integers(1, 10))
def test_an_id_counts_once_at_its_best(parts: list[list[Candidate]], limit: int) -> None:
    best: dict[str | int, float] = {}
    for part in parts:
        for candidate in part:
            best[candidate.id] = max(best.get(candidate.id, -2.0), candidate.similarity)
    found = merge_shards(parts, limit)
    assert [candidate.similarity for candidate in found] == sorted(best.values(), reverse=True)[:limit]
    assert all(best[candidate.id] == candidate.similarity for candidate in found)
    assert len({candidate.id for candidate in found}) == len(found)


def answer(label: str, found: Sequence[Candidate], watermark: int | None = None) -> Answer:
    return Answer(label, "one", watermark, False, tuple(found))


@given(lists(st.integers(0, 5)), st.integers(1, 10))
def test_labels_merge_keeps_the_same_id_of_two_labels(parts: list[list[Candidate]], limit: int) -> None:
    answers = [answer(f"label{number}", part) for number, part in enumerate(parts)]
    everything = [(one.label, found) for one in answers for found in one.candidates]
    expected = sorted(everything, key=lambda pair: -pair[1].similarity)[:limit]
    got = across(answers, limit)
    assert [(one.label, Candidate(one.id, one.similarity)) for one in got] == expected


def test_shards_are_as_far_as_the_last_of_them() -> None:
    def mark(*marks: int | None) -> int | None:
        return merge_parts("mine", "one", {shard: Part(at, []) for shard, at in enumerate(marks)}, 3, 10).watermark

    assert (mark(5, 5), mark(5, 5, 4), mark(5, 5, None)) == (5, 4, None)


def test_what_is_missing_is_named() -> None:
    found = merge_parts("mine", "one", {2: Part(None, [Candidate("a", 0.5)])}, 3, 10)
    assert (found.partial, found.shards, found.missing) == (True, 3, (0, 1))
    assert not merge_parts("mine", "one", dict.fromkeys(range(3), Part(None, [])), 3, 10).partial


faces = st.builds(Face, st.integers(0, 1 << 40), similarities, st.sampled_from(["", "ann", "bob", "eve", 7]))


@given(st.lists(faces, max_size=40, unique_by=lambda face: face.id), st.integers(1, 4), st.integers(1, 6))
def test_people_of_shards_are_the_people_of_all_rows(rows: list[Face], shards: int, limit: int) -> None:
    """Each shard answers with the best face of its best `limit` people; rows of nobody known are people of their own."""

    def best(some: list[Face]) -> list[Face]:
        ranked = sorted(some, key=lambda face: -face.similarity)
        people = {face.person or f"nobody-{face.id}": face for face in reversed(ranked)}
        return sorted(people.values(), key=lambda face: -face.similarity)[:limit]

    found = merge_people([best(rows[shard::shards]) for shard in range(shards)], limit)
    assert [one.similarity for one in found] == [one.similarity for one in best(rows)]
    whose = {face.id: face.person or f"nobody-{face.id}" for face in rows}
    assert len({whose[one.id] for one in found}) == len(found)
