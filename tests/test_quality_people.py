"""Candidates that are people: the best row of each, exact search deep enough for all of them, builds by person."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.settings import Build, Quality, Settings, Storage
from matcher.decoding import Job
from matcher.people import best_people
from matcher.people import codes as codes_of_names
from pipeline.artifact import Ids, Manifest, open_store
from pipeline.build import Order, build
from pipeline.device.cpu import Cpu
from pipeline.errors import BuildError
from pipeline.generate.faces import Generator
from pipeline.progress import Lines
from pipeline.quality import people_truth
from pipeline.quality.figures import Rule, Side, compare
from pipeline.quality.grouping import Grouping
from pipeline.quality.people_truth import exact_people, reachable
from pipeline.quality.persons import NOBODY, Persons
from pipeline.quality.probes import Chosen, ProbeSet, joined
from pipeline.quality.reading import read_report
from pipeline.search.people import best_of_each
from pipeline.stage import serial


def unit(generator: np.random.Generator, rows: int, dim: int = 8) -> np.ndarray:
    made = generator.standard_normal((rows, dim)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(1, 6))
def test_people_are_those_of_the_matcher(people: list[int], k: int) -> None:
    """The first of each person, by the codes of evaluation and of an answer; person 0 is unknown: rows of their own."""
    names = ["" if one == 0 else f"p{one}" for one in people]
    scores = [1 - number / 20 for number in range(len(people))]
    firsts = [number for number, one in enumerate(people) if one == 0 or one not in people[:number]][:k]
    persons = Persons(np.array([one - 1 for one in people], np.int32), len(people))
    lists = np.array([[*scores, -1]], np.float32), np.array([[*range(len(people)), -1]], np.int64)
    for codes in (persons.of(lists[1]), codes_of_names(Ids.open(Ids.encode(names)), lists[1])):
        found = best_of_each(lists, codes, k)
        assert [one for one in found[1][0].tolist() if one >= 0] == firsts
        assert [one for one in found[0][0].tolist() if one > -1] == pytest.approx([scores[one] for one in firsts])


@dataclass
class Plain:
    """An index by a matrix product, which notes how deep it was asked."""

    vectors: np.ndarray
    people: Ids
    depths: list[tuple[int, int]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return len(self.vectors)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        self.depths.append((len(queries), k))
        scores = queries @ self.vectors.T
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, order, axis=1), order


def test_a_matcher_digs_until_the_list_of_people_is_full() -> None:
    """Half of the rows are of one person: who looks like that one is searched deeper, the others are not."""
    rows, person = crowd(np.random.default_rng(2))
    index = Plain(rows, Ids.open(Ids.encode(["" if one < 0 else f"p{one}" for one in person])))
    queries = np.concatenate([rows[person == 0][:3], rows[person == 7][:3]])
    held: Any = SimpleNamespace(index=index)
    similarities, numbers = best_people(Job(held, [], queries, 8, grouped=True))
    persons = Persons(person, len(rows))
    nobody = np.full(len(queries), -1, np.int64)
    probes = ProbeSet(queries, nobody < 0, nobody.astype(np.int8), nobody, nobody, nobody * 0, "", "")
    assert persons.of(numbers).tolist() == plain(rows, persons, probes, 8)
    assert similarities == pytest.approx(np.take_along_axis(queries @ rows.T, numbers, axis=1))
    assert index.depths[0] == (6, 32)
    assert index.depths[1][1] == 128
    assert index.depths[1][0] >= 3


def test_nothing_is_dug_for_where_everything_was_found() -> None:
    rows, person = crowd(np.random.default_rng(2))
    index = Plain(rows[:5], Ids.open(Ids.encode([f"p{one}" for one in person[:5]])))
    held: Any = SimpleNamespace(index=index)
    _, numbers = best_people(Job(held, [], rows[:2], 4, grouped=True))
    assert len(index.depths) == 1
    assert (numbers >= 0).sum(axis=1).tolist() == [min(4, len(set(person[:5].tolist())))] * 2


def crowd(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """300 rows of 12 people: the first has 150 of them, close together; 20 rows are of nobody known."""
    person = np.repeat(np.arange(12), [150, *[14] * 5, *[10] * 6]).astype(np.int32)
    person = np.concatenate([person, np.full(20, -1, np.int32)])
    order = generator.permutation(len(person))
    centres = unit(generator, 12)
    rows = np.where((person >= 0)[:, None], centres[np.maximum(person, 0)], 0) + 0.2 * unit(generator, len(person))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows[order].astype(np.float32), person[order]


def plain(rows: np.ndarray, persons: Persons, probes: ProbeSet, k: int) -> list[list[int]]:
    """The k best people of each probe by a loop over all rows."""
    codes = persons.of(np.arange(len(rows)))
    lists = []
    for query, own, person, mated in zip(probes.queries, probes.own, probes.person, probes.mated, strict=True):
        best: dict[int, float] = {}
        for number, score in enumerate(rows @ query):
            if number != own and (mated or codes[number] != person):
                best[int(codes[number])] = max(best.get(int(codes[number]), -2.0), float(score))
        lists.append(sorted(best, key=lambda one: -best[one])[:k])
    return lists


def test_exact_people_of_partitions_are_those_of_one_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the rows are of one person, so that no fixed depth is enough; partitions are searched apart."""
    generator = np.random.default_rng(2)
    rows, known = crowd(generator)
    persons = Persons(known, len(rows))
    monkeypatch.setattr(people_truth, "CANDIDATES", 500)  # several steps
    own = generator.permutation(len(rows))[:60]
    mates = Chosen(rows[own[:40]], persons.of(own[:40]), own[:40], "mates")
    probes = joined(mates, Chosen(rows[own[40:]], persons.of(own[40:]), own[40:], "others"), persons)
    grouping = Grouping(persons, 10, by_person=True)
    total = exact_people(Cpu(), rows[:100], 0, probes, grouping)
    for start, stop in ((100, 107), (107, 107), (107, 320)):
        found = exact_people(Cpu(), rows[start:stop], start, probes, grouping)
        total = grouping.joined(total, found, 10)
    codes = persons.of(total[1])
    assert codes.tolist() == plain(rows, persons, probes, 10)


def test_whom_a_probe_can_meet() -> None:
    persons = Persons(np.array([0, 0, 1, 2, -1], np.int32), 5)
    kinds = [
        Chosen(np.zeros((3, 2), np.float32), np.array([0, 1, 0]), np.array([0, 2, -1]), "mates"),
        Chosen(np.zeros((2, 2), np.float32), np.array([0, NOBODY]), np.array([1, -1]), "others"),
    ]
    probes, grouping = joined(kinds[0], kinds[1], persons), Grouping(persons, 3, by_person=True)
    assert reachable(probes, grouping, 0, 5).tolist() == [4, 3, 4, 3, 4]
    assert reachable(probes, grouping, 0, 1).tolist() == [0, 1, 1, 0, 1]
    assert reachable(probes, grouping, 3, 2).tolist() == [2, 2, 2, 2, 2]


def test_another_row_of_the_same_person_is_as_good() -> None:
    """Recall by person counts people; the row that stands for one may be another."""
    lists = np.array([[0.9, 0.8]], np.float32), np.array([[1, 2]])
    mates, people = np.array([[True, False]]), np.array([[7, 8]])
    exact, index = Side(lists, mates, people), Side((lists[0], np.array([[3, 4]])), mates, people)
    assert compare(exact, index, Rule(0.5, 2, 0.95)).recall_at_10 == 1.0
    assert compare(Side(lists, mates), Side(index.lists, mates), Rule(0.5, 2, 0.95)).recall_at_10 == 0.0


def built(folder: Path, group_by: Any, *, named: bool = True) -> tuple[Manifest, Path]:
    """2,000 people, 300 of whom have eight photos each more; by rows or by people."""
    faces = Generator("mixture", 3)
    rows, _, people = faces.chunk(0, 2_000)
    more = faces.probes(np.repeat(np.arange(300), 8))[0]
    names = {"person": np.array([*people, *np.repeat(people[:300], 8)])} if named else {}
    np.savez(folder / "rows.npz", descriptors=np.concatenate([rows, more]), **names)
    settings = Settings(
        storage=Storage(bucket=str(folder / f"bucket{group_by}")),
        build=Build(partition_rows=1_500, sample_rows=2_000, recipe="scan"),
        quality=Quality(mated_probes=1_000, non_mates=500, added_fnir=0.005, group_by=group_by),
    )
    order = Order(str(folder / "rows.npz"), "faces")
    return build(order, settings, lambda: serial, Lines()).manifest, folder / f"bucket{group_by}"


def test_a_list_is_evaluated_by_person(tmp_path: Path) -> None:
    """Nine photos of one fill a list of ten rows, so that the next person is beyond it; by person all ten differ."""
    by_row, by_person = built(tmp_path, "")[0].quality, built(tmp_path, "person")
    quality, report = by_person[0].quality, read_report(open_store(str(by_person[1])), "faces")
    assert report.group_by == "person"
    assert quality["lost"] == 0
    assert quality["recall_at_10"] > 0.97
    assert quality["exact_rank1_miss"] == by_row["exact_rank1_miss"]  # the first row is of the first person
    assert quality["exact_fnir"] <= by_row["exact_fnir"]
    assert {one["cohort"] for one in report.cohorts if one["by"].startswith("templates")} == {"6 to 10"}


def test_people_are_asked_for_where_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"quality.group_by: expected people in .*rows.npz, got no column 'person'"):
        built(tmp_path, "person", named=False)
