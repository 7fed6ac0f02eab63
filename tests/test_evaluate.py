"""The stages probes, truth, measure and evaluate inside a build: what is measured, what is refused, what is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipeline.plan
from configs.settings import Build, Quality, Settings, Storage
from pipeline.artifact import Ids
from pipeline.assemble import Part, key_of, stored
from pipeline.build import Built, Order, build
from pipeline.errors import BuildError, IndexRefused
from pipeline.evaluate import decision, evaluate
from pipeline.generate.faces import Generator
from pipeline.progress import Lines
from pipeline.quality.probes import GATING, ProbeSet
from pipeline.recipes.models import Codes, key
from pipeline.search.assembly import RowCoder
from pipeline.stage import Done, Item, Stage, serial
from pipeline.train import models
from pipeline.workspace import Work

ROWS = 6_000
SMALL = Quality(mated_probes=1_500, non_mates=500, added_fnir=0.003)
Damage = Callable[[Work], None]


@dataclass
class Bench:
    """A serial build that calls `after[stage]` when a stage is done, and keeps what evaluate left."""

    after: dict[str, Damage] = field(default_factory=dict)
    left: dict[str, Any] = field(default_factory=dict)
    work: Work | None = None

    def __call__(self, stage: Stage, work: Work, items: list[Item], report: Callable[[Done], None]) -> None:
        self.work = work
        serial(stage, work, items, report)
        if stage.name in self.after:
            self.after[stage.name](work)
        if stage.name == "evaluate":
            self.left = {key: work.load_json(key) for key in ("decision.json", "report.json")}
            self.left["report.html"] = work.read("report.html").decode()
            probes = ProbeSet.load(work)
            self.left["probes"] = replace(probes, queries=probes.queries[:])  # they outlive the work folder

    def build(self, source: Path, folder: Path, *, probes: str = "", quality: Quality = SMALL, **fields: Any) -> Built:
        made = Build(**{"partition_rows": 1_500, "sample_rows": 4_000, **fields})
        settings = Settings(storage=Storage(bucket=str(folder / "bucket")), build=made, quality=quality)
        return build(Order(str(source), "list", probes), settings, lambda: self, Lines())


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6,000 people, one row each, named."""
    rows, _, people = Generator("mixture", 3).chunk(0, ROWS)
    path = tmp_path_factory.mktemp("gallery") / "rows.npz"
    np.savez(path, descriptors=rows, id=np.array([f"face-{number}" for number in range(ROWS)]), person=np.array(people))
    return path


def rewrite(work: Work, part: Part, data: bytes) -> None:
    """Damage done by the build itself: the checksum is that of the damaged file."""
    work.save_json(f"assembled/{part.name}.json", asdict(work.bucket.write(key_of(work, part), data)))


def shuffled(rows: Any, share: float) -> Any:
    """The rows with a share of them exchanged among each other."""
    out, chosen = list(rows), np.random.default_rng(5).choice(len(rows), int(share * len(rows)), replace=False)
    for to, number in zip(np.roll(chosen, 1), chosen, strict=True):
        out[to] = rows[number]
    return out


def permute_ids(work: Work) -> None:
    part = Part("ids", "", 0)
    rewrite(work, part, Ids.encode(shuffled(list(Ids.open(work.bucket.read(key_of(work, part)))), 0.1)))


def permute_rows(work: Work, part: Part, coder: RowCoder) -> None:
    data, head = work.bucket.read(key_of(work, part)), len(coder.header(ROWS))
    rows = np.frombuffer(data[head:], np.uint8).reshape(ROWS, -1)
    rewrite(work, part, data[:head] + np.stack(shuffled(rows, 0.1)).tobytes())


def permute_vectors(work: Work) -> None:
    form = stored(work)
    assert form is not None
    permute_rows(work, Part("vectors", "", 0), form.coder(work))


def permute_exact(work: Work) -> None:
    coder = RowCoder("float16", work.spec.dim, np.empty(0, np.float32))
    permute_rows(work, Part("index", "exact", 0), coder)


def another_codebook(work: Work) -> None:
    name = key(next(model for model in models(work) if isinstance(model, Codes)))
    book = work.load(name)
    work.save(name, np.random.default_rng(5).standard_normal(book.shape).astype(np.float32))


def one_probed_cell(work: Work) -> None:
    if "plan.json" not in work.keys("plan"):  # the first wave of the stage
        return
    plans = work.load_json("plan.json")
    work.save_json("plan.json", [{**one, "points": [[1, 80]]} for one in plans])


@pytest.mark.parametrize(
    ("recipe", "stage", "damage", "least", "most"),
    [
        ("scan", "assemble", permute_ids, 0.06, 0.12),
        ("scan", "assemble", permute_vectors, 0.06, 0.12),
        ("scan", "encode", another_codebook, 0.3, 1.0),
        ("cells", "plan", one_probed_cell, 0.3, 1.0),
        ("exact", "assemble", permute_ids, 0.06, 0.12),
        ("exact", "assemble", permute_exact, 0.06, 0.12),
    ],
    ids=["ids", "vectors", "codebook", "probes", "ids of exact", "rows of exact"],
)
def test_a_damaged_index_is_refused_with_the_figure(
    gallery: Path, tmp_path: Path, recipe: str, stage: str, damage: Damage, least: float, most: float
) -> None:
    bench = Bench(after={stage: damage})
    with pytest.raises(
        IndexRefused, match=r"\d+ of 1500 mates.*not published.*report is at work/\w+/report.html"
    ) as error:
        bench.build(gallery, tmp_path, recipe=recipe)
    assert bench.work is not None
    decided = decision(bench.work)
    assert least < decided.quality["added_fnir"] < most
    assert f"{decided.quality['added_fnir']:.4g}" in str(error.value)
    assert (decided.passed, decided.resolvable, decided.refused) == (False, True, True)
    assert not [key for key in bench.work.bucket.keys("catalog/") if key.endswith(".json")]
    assert "Refused: " in bench.work.read("report.html").decode()
    assert ("carry the name of another row" in decided.reason) is (damage is permute_ids)


def test_the_same_undamaged_is_published(gallery: Path, tmp_path: Path) -> None:
    bench = Bench()
    built = bench.build(gallery, tmp_path, recipe="scan")
    assert built.manifest.quality["lost"] == 0
    assert bench.left["decision.json"]["passed"]


def test_force_publishes_and_the_report_says_so(gallery: Path, tmp_path: Path) -> None:
    bench = Bench(after={"assemble": permute_ids})
    built = bench.build(gallery, tmp_path, recipe="scan", force=True)
    assert built.manifest.forced
    assert bench.left["report.json"]["decision"]["forced"]
    assert "Published by force although the target is missed: added FNIR 0." in bench.left["report.html"]


def test_evaluating_twice_decides_the_same(gallery: Path, tmp_path: Path) -> None:
    before: list[bytes] = []

    def again(work: Work) -> None:
        before.append(work.read("decision.json"))
        evaluate(work, None)
        before.append(work.read("decision.json"))

    Bench(after={"evaluate": again}).build(gallery, tmp_path, recipe="scan")
    assert before[0] == before[1]


@dataclass
class Plain:
    """The figures of real faces by plain NumPy: one product, sorted."""

    rows: np.ndarray
    person: np.ndarray
    probes: ProbeSet

    def best(self, part: np.ndarray, *, mated: bool) -> tuple[np.ndarray, np.ndarray]:
        """Similarities and rows (p, 10) without the own row, and without the person's rows for a non-mate."""
        scores = self.probes.queries[part] @ self.rows.T
        own = self.probes.own[part]
        scores[np.arange(len(part)), own] = -2
        if not mated:
            scores[self.person[own][:, None] == self.person[None, :]] = -2
        order = np.argsort(-scores, axis=1)[:, :10]
        return np.take_along_axis(scores, order, axis=1), order


def test_figures_of_real_faces_are_those_of_plain_numpy(shared_data: Path, tmp_path: Path) -> None:
    bench = Bench()
    built = bench.build(shared_data / "faces.npz", tmp_path, quality=Quality(), recipe="scan")
    with np.load(shared_data / "faces.npz") as arrays:
        rows, person = arrays["descriptors"].astype(np.float32), arrays["person"]
    probes: ProbeSet = bench.left["probes"]
    plain = Plain(
        (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).astype(np.float32), person, probes
    )
    quality = built.manifest.quality

    others = plain.best(probes.part(mated=False), mated=False)[0][:, 0]
    assert quality["non_mates"] == len(others) > 5_000
    threshold = np.sort(others)[::-1][int(0.003 * len(others))]
    assert quality["threshold"] == pytest.approx(threshold, abs=1e-5)

    part = probes.part(mated=True, half=GATING)
    scores, found = plain.best(part, mated=True)
    mates = person[found] == person[probes.own[part]][:, None]
    missed = 1 - (mates & (scores >= quality["threshold"])).any(axis=1).mean()
    assert quality["exact_fnir"] == pytest.approx(missed, abs=1 / len(part))
    assert quality["exact_rank1_miss"] == pytest.approx(1 - mates[:, 0].mean(), abs=1 / len(part))
    assert (quality["added_fnir"], quality["lost"]) == (0, 0)
    assert quality["recall_at_10"] > 0.99


def test_few_labelled_mates_are_published_with_that_stated(shared_data: Path, tmp_path: Path) -> None:
    """840 people with several photos: below 2,995 gating probes, so that .001 is neither proven nor disproven."""
    bench = Bench()
    built = bench.build(shared_data / "faces.npz", tmp_path, quality=Quality(), recipe="scan")
    assert not built.manifest.quality["resolvable"]
    assert built.manifest.quality["probes"] < built.manifest.quality["probes_needed"] == 2_995
    assert not built.manifest.forced
    assert "Not resolvable: scan (nprobe 1, re-ranking" in bench.left["report.html"]


@pytest.mark.parametrize("dim", [128, 50])
def test_other_dimensions_get_made_mates_and_pass(tmp_path: Path, dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.plan, "EXACT_ONLY_BELOW", 1_000)
    rows = Generator("wide", 4, dim).chunk(0, 5_000)[0]
    np.save(tmp_path / "rows.npy", rows)
    bench = Bench()
    built = bench.build(tmp_path / "rows.npy", tmp_path)
    assert built.manifest.quality["probes_from"].startswith("pseudo-mates (a model, not photos)")
    assert "0.6" in built.manifest.quality["probes_from"]  # the model's cosine is stated
    assert built.manifest.quality["added_fnir_bound"] <= SMALL.added_fnir
    assert {one["name"] for one in built.manifest.points} == {"exact", "scan"}


def write_probes(path: Path, people: list[int], *, unknown: int = 0, dim: int = 512) -> str:
    """Second photos of people of the gallery, and photos of people who are not in it."""
    rows = Generator("mixture", 3).probes(np.array(people))[0]
    names = [f"p{number:09d}" for number in people]
    if unknown:
        strangers = Generator("mixture", 99).chunk(0, unknown)[0]
        rows, names = np.concatenate([rows, strangers]), names + [f"stranger {number}" for number in range(unknown)]
    np.savez(path, descriptors=rows[:, :dim], id=np.arange(len(rows)), person=np.array(names))
    return str(path)


def test_a_file_of_probes_with_strangers(gallery: Path, tmp_path: Path) -> None:
    probes = write_probes(tmp_path / "probes.npz", list(range(0, 6_000, 2)), unknown=600)
    bench = Bench()
    built = bench.build(gallery, tmp_path, probes=probes, recipe="scan")
    quality, made = built.manifest.quality, bench.left["probes"]
    assert quality["probes_from"] == f"labelled: 3,000 photos of {probes}"
    assert quality["non_mates_from"] == f"600 photos of {probes} of people not in the list"
    assert (quality["probes"], quality["non_mates"]) == (1_500, 600)
    assert (made.own == -1).all()
    assert quality["rank1_miss"] < 0.05  # the names meet the right people
    assert quality["lost"] == 0


def test_a_file_without_enough_strangers_takes_rows_of_the_list(gallery: Path, tmp_path: Path) -> None:
    probes = write_probes(tmp_path / "probes.npz", list(range(3_000)), unknown=100)
    built = Bench().build(gallery, tmp_path, probes=probes, recipe="scan")
    assert built.manifest.quality["non_mates_from"].startswith("1,000 rows of the list itself")


def test_a_file_of_strangers_or_of_another_dimension_is_an_error(gallery: Path, tmp_path: Path) -> None:
    strangers = write_probes(tmp_path / "strangers.npz", [0], unknown=50)
    with np.load(strangers) as arrays:
        np.savez(strangers, **{name: arrays[name][1:] for name in ("descriptors", "id", "person")})
    with pytest.raises(BuildError, match=r"strangers.npz: expected probes of people in .*got none.*'person'"):
        Bench().build(gallery, tmp_path, probes=strangers, recipe="scan")
    narrow = write_probes(tmp_path / "narrow.npz", [0, 1], dim=64)
    with pytest.raises(BuildError, match=r"narrow.npz: expected descriptors of 512 dimensions.*got 64"):
        Bench().build(gallery, tmp_path, probes=narrow, recipe="scan")


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_the_shortest_lists(tmp_path: Path, rows: int) -> None:
    np.save(tmp_path / "rows.npy", np.eye(8, dtype=np.float32)[:rows])
    quality = replace(SMALL, mated_probes=200, non_mates=50)
    built = Bench().build(tmp_path / "rows.npy", tmp_path, quality=quality)
    assert built.manifest.recipe == "exact"
    assert built.manifest.quality["added_fnir"] == 0


def test_one_person_alone_and_one_pair(tmp_path: Path) -> None:
    """Nobody is a non-mate of a list of one person; a single pair gates, and nothing is left to choose with."""
    rows = Generator("mixture", 3).chunk(0, 40)[0]
    for name, people in (("one", ["a"] * 40), ("pair", ["a", "a", *(f"b{number}" for number in range(38))])):
        np.savez(tmp_path / f"{name}.npz", descriptors=rows, person=np.array(people))
        built = Bench().build(tmp_path / f"{name}.npz", tmp_path / name, recipe="exact")
        assert built.manifest.quality["lost"] == 0
        assert json.dumps(built.manifest.quality)  # plain numbers
