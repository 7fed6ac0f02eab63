"""Who is looked for: persons, halves, rows with mates, made mates, a file of probes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.settings import Build, Images, Quality, Source, Storage
from pipeline.artifact import open_store
from pipeline.quality import queries
from pipeline.quality.drawing import MOST_MATES, cosines, labelled_gallery, noise_shape, non_mates, pseudo_mates
from pipeline.quality.persons import NOBODY, Persons
from pipeline.quality.probe_file import Reservoir
from pipeline.quality.probes import Chosen, ProbeSet, halves, joined
from pipeline.spec import BuildSpec
from pipeline.workspace import Work


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_a_row_without_a_name_is_a_person_of_its_own() -> None:
    persons = Persons(np.array([5, -1, 5, -1], np.int32), 4)
    assert persons.of(np.array([[0, 1], [2, -1]])).tolist() == [[5, -3], [5, NOBODY]]
    assert persons.rows_of(np.array([5, -3, 4, 99, NOBODY])).tolist() == [2, 1, 0, 0, 0]
    nameless = Persons(None, 4)
    assert len(set(nameless.of(np.arange(4)).tolist())) == 4
    assert nameless.rows_of(nameless.of(np.arange(4))).tolist() == [1, 1, 1, 1]


@given(st.lists(st.integers(-5, 8), min_size=1, max_size=60))
def test_no_person_is_in_both_halves(people: list[int]) -> None:
    person = np.array(people, np.int64)
    half = halves(person)
    assert not set(person[half == 0].tolist()) & set(person[half == 1].tolist())
    assert (half == 1).any()  # what gates is never empty
    largest = np.unique(person, return_counts=True)[1].max()
    assert abs(int((half == 0).sum()) - int((half == 1).sum())) <= largest


def test_single_persons_are_halved_exactly() -> None:
    assert np.bincount(halves(np.arange(5_990))).tolist() == [2_995, 2_995]


def test_draws_of_a_model_may_repeat_a_row_in_both_halves() -> None:
    same = np.zeros(10, np.int64)
    made = Chosen(np.zeros((10, 2), np.float32), same, same - 1, "model", drawn=True)
    assert np.bincount(made.half()).tolist() == [5, 5]


def work_of(folder: Path, dim: int) -> Work:
    """A work folder with nothing in it."""
    spec = BuildSpec(
        label="l", source_url="s", probes_url="", fingerprint="f", descriptor_version="1", dim=dim, device="cpu",
        build=Build(), quality=Quality(), source=Source(), images=Images(), storage=Storage(), versions={},
    )  # fmt: skip
    return Work(open_store(str(folder)), spec)


def test_a_set_survives_the_bucket(tmp_path: Path) -> None:
    persons = Persons(np.array([0, 0, 1], np.int32), 3)
    mates = Chosen(unit(rng().standard_normal((2, 4))), np.array([0, 0]), np.array([0, -1]), "here – with ±")
    others = Chosen(unit(rng().standard_normal((1, 4))), np.array([0]), np.array([1]), "there")
    made = joined(mates, others, persons)
    work = work_of(tmp_path, 4)
    made.save(work)
    again = ProbeSet.load(work)
    assert (again.origin, again.others) == ("here – with ±", "there")
    assert np.array_equal(again.queries[:], made.queries[:])
    for name in ("mated", "half", "own", "person", "skip"):
        assert np.array_equal(getattr(again, name), getattr(made, name)), name
    assert again.skip.tolist() == [1, 0, 2]
    assert again.depth(again.part(mated=True), 10) == 11
    assert again.depth(again.part(mated=False), 10) == 12


def test_stored_descriptors_are_read_as_arrays_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "BLOCK", 4)
    work, rows = work_of(tmp_path, 3), unit(rng().standard_normal((23, 3)))
    queries.save(work, rows)
    stored = queries.StoredQueries(work, 23, 3)
    assert len(stored) == 23
    for chosen in (
        slice(None),
        slice(5, 11),
        slice(20, 99),
        slice(3, 3),
        slice(0, 20, 7),
        np.array([22, 0, 0, 4, 3, 17]),
    ):
        assert np.array_equal(stored[chosen], rows[chosen])
    assert stored[np.empty(0, np.int64)].shape == (0, 3)


def test_rows_with_a_mate_and_rows_of_few() -> None:
    crowd = MOST_MATES[0] + 1
    known = np.array([0, 0, 1, -1] + [2] * crowd, np.int32)
    persons = Persons(known, len(known))
    mates = labelled_gallery(persons, 1_000, rng())
    assert sorted(mates.tolist()) == [0, 1, *range(4, 4 + crowd)]
    assert len(labelled_gallery(persons, 3, rng())) == 3
    assert sorted(non_mates(persons, 1_000, rng()).tolist()) == [0, 1, 2, 3]  # nobody of the crowd
    only = Persons(np.zeros(crowd, np.int32), crowd)
    assert len(non_mates(only, 1_000, rng())) == crowd  # where there is nobody else, deeper lists
    assert len(non_mates(Persons(np.zeros(1_001, np.int32), 1_001), 10, rng())) == 0


def test_a_list_without_names_has_no_labelled_mates() -> None:
    nameless = Persons(None, 50)
    assert len(labelled_gallery(nameless, 10, rng())) == 0
    assert len(set(non_mates(nameless, 50, rng()).tolist())) == 50


def test_drawing_depends_on_nothing_but_the_seed() -> None:
    persons = Persons(np.arange(100, dtype=np.int32) // 2, 100)
    for draw in (labelled_gallery, non_mates):
        assert np.array_equal(draw(persons, 20, rng(3)), draw(persons, 20, rng(3)))
        assert not np.array_equal(draw(persons, 20, rng(3)), draw(persons, 20, rng(4)))


@pytest.mark.parametrize("dim", [2, 3, 50, 128, 512])
def test_made_mates_have_the_cosine_that_was_drawn(dim: int) -> None:
    rows = unit(rng().standard_normal((400, dim)))
    cosine = cosines(400, np.linspace(0.5, 0.9, 257), rng(2))
    assert (cosine > 0.25).all()
    assert (cosine < 0.81).all()
    made = pseudo_mates(rows, cosine, noise_shape(rows), rng(3))
    assert made.dtype == np.float32
    assert made.flags.c_contiguous
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    assert np.allclose((made * rows).sum(axis=1), cosine, atol=2e-3)


def test_noise_has_the_spectrum_of_the_list() -> None:
    """A list that lives in 6 of 64 dimensions gets noise of those; and two draws differ."""
    scales = np.r_[np.ones(6), np.full(58, 1e-3)]
    rows = unit(rng().standard_normal((3_000, 64)) * scales)
    made = pseudo_mates(rows, np.full(3_000, 0.6, np.float32), noise_shape(rows), rng(3))
    left = made - 0.6 * rows
    assert (left[:, :6] ** 2).sum() > 0.999 * (left**2).sum()
    again = pseudo_mates(rows, np.full(3_000, 0.6, np.float32), noise_shape(rows), rng(4))
    assert not np.allclose(made, again)


def test_a_list_of_copies_still_gives_unit_mates() -> None:
    rows = np.tile(unit(np.ones((1, 8))), (50, 1))
    made = pseudo_mates(rows, np.full(50, 0.7, np.float32), noise_shape(rows), rng())
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    assert np.allclose((made * rows).sum(axis=1), 0.7, atol=1e-3)


def test_a_long_file_is_drawn_from_evenly() -> None:
    """Each of 400 rows is kept about as often, wherever it stands; nameless rows never are."""
    kept = np.zeros(400, np.int64)
    for seed in range(300):
        drawn = Reservoir(40, rng(seed))
        for start in range(0, 400, 64):
            numbers = np.arange(start, min(start + 64, 400))
            rows = np.repeat(numbers[:, None], 2, axis=1).astype(np.float16)
            drawn.add(rows, ["" if number % 4 == 0 else str(number) for number in numbers])
        assert drawn.rows.shape == (40, 2)
        assert [str(int(row[0])) for row in drawn.rows] == drawn.people.tolist()
        kept[drawn.rows[:, 0].astype(int)] += 1
    assert (kept[::4] == 0).all()
    named = kept[np.arange(400) % 4 != 0]
    assert named.sum() == 300 * 40
    assert named.min() > 15
    assert named.max() < 75  # 40 expected, 6 standard deviations of 6 either way
    thirds = [chunk.mean() for chunk in np.array_split(named, 3)]
    assert max(thirds) - min(thirds) < 3
