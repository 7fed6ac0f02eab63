"""The model of made mates: fitted to labelled photos, told in the report, part of a build's identity."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from configs.settings import Build, Quality, Settings, Storage
from pipeline.artifact import open_store
from pipeline.build import Order, build, make_spec
from pipeline.cli import build as command
from pipeline.errors import BuildError
from pipeline.generate.faces import Generator
from pipeline.progress import Lines
from pipeline.quality.calibration import MOST_OF_ONE, WholePeople, check, fitted, pairs
from pipeline.quality.drawing import noise_shape, pseudo_mates
from pipeline.quality.noise import effective, shipped
from pipeline.quality.reading import Report, read_report
from pipeline.stage import serial

DIM = 32


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@given(st.lists(st.integers(0, 6), max_size=60))
def test_pairs_are_of_one_person_and_none_occurs_twice(people: list[int]) -> None:
    codes = np.array(people, np.int64)
    first, second = pairs(codes, rng())
    assert (codes[first] == codes[second]).all()
    assert (first != second).all()
    met = [frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)]
    assert len(met) == len(set(met))
    for person in set(people):
        size = people.count(person)
        expected = {1: 0, 2: 1}.get(size, min(size, MOST_OF_ONE))
        assert int((codes[first] == person).sum()) == expected


def test_a_fitted_model_is_the_one_that_made_the_photos() -> None:
    """Mates made with a known covariance and known cosines give both back."""
    rows, wanted = unit(rng().standard_normal((20_000, DIM))), rng(2).uniform(0.4, 0.8, 20_000).astype(np.float32)
    scales = np.r_[np.full(16, 1.5), np.full(16, 0.5)].astype(np.float32)
    made = pseudo_mates(rows, wanted, np.diag(scales), rng(3))
    noise = fitted(rows, made, "here")
    drawn = noise.cosines(20_000, rng(4))
    for share in (0.02, 0.25, 0.5, 0.75, 0.98):
        assert np.quantile(drawn, share) == pytest.approx(0.4 + 0.4 * share, abs=0.01)
    covariance = noise.shape.T @ noise.shape
    variances = np.diag(covariance) / np.diag(covariance).sum()
    assert variances[:16].sum() == pytest.approx(36 / 40, abs=0.03)  # not quite: each w is normalised
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 0.01


def test_of_a_long_file_whole_people_are_drawn() -> None:
    """30 of 300 rows: three people with all ten of their photos, not thirty people with one."""
    names = [f"p{number % 30}" for number in range(300)]
    drawn = WholePeople(30, rng())
    for start in range(0, 300, 70):
        part = np.arange(start, min(start + 70, 300))
        drawn.add(np.repeat(part[:, None], 2, axis=1).astype(np.float16), [names[number] for number in part])
    kept = drawn.people.tolist()
    assert sorted(kept.count(name) for name in set(kept)) == [10, 10, 10]
    assert [names[int(row[0])] for row in drawn.rows] == kept


def test_the_shipped_model_multiplies_two_draws() -> None:
    noise = shipped(unit(rng().standard_normal((500, DIM))))
    drawn = noise.cosines(50_000, rng())
    alone = np.interp(rng(2).random(50_000), np.linspace(0, 1, len(noise.quantiles)), noise.quantiles)
    assert drawn.mean() == pytest.approx(alone.mean() ** 2, abs=0.003)
    assert np.allclose(noise.shape, noise_shape(unit(rng().standard_normal((500, DIM)))))


def test_dimensions_that_a_covariance_fills() -> None:
    assert effective(np.ones(10)) == pytest.approx(10)
    assert effective(np.r_[np.ones(4), np.zeros(6)]) == pytest.approx(4)
    assert effective(np.zeros(3)) == 0


@pytest.mark.parametrize(("dim", "people", "count"), [(512, 100, 1_024), (32, 100, 500)])
def test_too_few_pairs_say_how_many_are_needed(dim: int, people: int, count: int) -> None:
    check("f", dim, people, count)
    said = rf"at least {count:,} pairs of 100 people are needed for {dim} dimensions: give more"
    with pytest.raises(BuildError, match=rf"build.calibration: f gives {count - 1:,} pairs of photos of .*{said}"):
        check("f", dim, people, count - 1)
    with pytest.raises(BuildError, match=rf"of 99 people; {said}"):
        check("f", dim, 99, count)


def photos(path: Path, people: int, dim: int = 512) -> str:
    """Two labelled photos of so many people, who are in no list."""
    faces = Generator("mixture", 99)
    rows, _, names = faces.chunk(0, people)
    other = faces.probes(np.arange(people))[0]
    np.savez(path, descriptors=np.concatenate([rows, other])[:, :dim], person=np.array([*names, *names]))
    return str(path)


def settings(folder: Path, calibration: str) -> Settings:
    return Settings(
        storage=Storage(bucket=str(folder / "bucket")),
        build=Build(partition_rows=1_500, sample_rows=2_000, recipe="scan", calibration=calibration),
        quality=Quality(mated_probes=500, non_mates=400, added_fnir=0.01),
    )


def built(folder: Path, calibration: str, *, mates: int = 0) -> Report:
    """2,000 people, so many of whom have a second photo in the list."""
    faces = Generator("mixture", 3)
    rows, _, people = faces.chunk(0, 2_000)
    rows = np.concatenate([rows, faces.probes(np.arange(mates))[0]])
    names = {"person": np.array([*people, *people[:mates]])} if mates else {}
    np.savez(folder / "rows.npz", descriptors=rows, **names)
    order = Order(str(folder / "rows.npz"), "faces")
    build(order, settings(folder, calibration), lambda: serial, Lines())
    return read_report(open_store(str(folder / "bucket")), "faces")


def test_a_build_is_measured_with_mates_like_the_given_photos(tmp_path: Path) -> None:
    given_photos = photos(tmp_path / "photos.npz", 1_100)
    with np.load(given_photos) as arrays:
        rows = unit(arrays["descriptors"].astype(np.float32))
    cosine = np.einsum("nd,nd->n", rows[:1_100], rows[1_100:])
    report = built(tmp_path, given_photos)
    assert report.noise is not None
    assert report.noise["pairs"] == 1_100
    assert report.noise["calibration"] == f"{given_photos}, 1,100 people"
    assert report.noise["cosine"]["mean"] == pytest.approx(cosine.mean(), abs=0.02)
    assert report.noise["cosine"]["quantiles"]["0.05"] == pytest.approx(np.quantile(cosine, 0.05), abs=0.06)
    assert "the cosines of 1,100 pairs of photos" in report.probes["mated"]
    assert report.manifest.quality["lost"] == 0


def test_real_mates_leave_the_calibration_unused(tmp_path: Path) -> None:
    few = photos(tmp_path / "few.npz", 2)  # never opened but for its listing
    report = built(tmp_path, few, mates=400)
    assert report.noise is None
    assert report.probes["mated"].endswith(
        f"{few}, which made mates would be fitted to, is not used, since there are real ones"
    )


def test_a_file_of_another_dimension_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"build.calibration: expected descriptors of 512 dimensions.*got 64 in"):
        built(tmp_path, photos(tmp_path / "photos.npz", 10, dim=64))


def test_the_calibration_is_part_of_a_builds_identity(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.eye(512, dtype=np.float32)[:20])
    order, one = Order(str(tmp_path / "rows.npy"), "faces"), photos(tmp_path / "one.npz", 10)
    hashes = [make_spec(order, settings(tmp_path, url)).work_hash for url in ("", one, one)]
    photos(tmp_path / "one.npz", 12)  # other contents under the same name
    hashes.append(make_spec(order, settings(tmp_path, one)).work_hash)
    assert hashes[1] == hashes[2]
    assert len(set(hashes)) == 3


def test_the_command_takes_it(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.eye(512, dtype=np.float32)[:20])
    few = photos(tmp_path / "few.npz", 10)
    arguments = [str(tmp_path / "rows.npy"), "--label", "l", "--scheduler", "serial", "--calibration", few]
    done = CliRunner().invoke(command, arguments, obj=SimpleNamespace(settings=settings(tmp_path, "")))
    assert isinstance(done.exception, BuildError)
    assert "10 pairs of photos of 10 people" in str(done.exception)
