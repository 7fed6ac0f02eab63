"""Damage that only the gate can see: after the choice, in who is who, in an exact index assembled late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipeline.assemble
import pipeline.plan
import pipeline.quality.answers
from configs.settings import Build, Quality, Settings, Storage
from pipeline.artifact import Ids, open_store
from pipeline.assemble import Part, assemble, assemble_all, key_of
from pipeline.build import Order, build
from pipeline.errors import IndexRefused
from pipeline.evaluate import decision
from pipeline.generate.faces import Generator
from pipeline.progress import Lines
from pipeline.quality.decision import Decision
from pipeline.quality.reading import read_report
from pipeline.recipes.candidate import Candidate
from pipeline.recipes.models import Codes, key
from pipeline.stage import Done, Item, Stage, serial
from pipeline.train import models
from pipeline.workspace import Work

ROWS = 5_200
Damage = Callable[[Work], None]


@dataclass
class Bench:
    """A serial build that does some damage when a stage is done."""

    damage: dict[str, Damage] = field(default_factory=dict)
    works: list[Work] = field(default_factory=list)

    def __call__(self, stage: Stage, work: Work, items: list[Item], report: Callable[[Done], None]) -> None:
        self.works = [work]
        serial(stage, work, items, report)
        if stage.name in self.damage:
            self.damage[stage.name](work)

    def build(self, source: Path, folder: Path, *, recipe: Any, group_by: Any = "", shards: int = 1) -> None:
        quality = Quality(mated_probes=1_000, non_mates=400, added_fnir=0.003, group_by=group_by)
        made = Build(partition_rows=1_500, sample_rows=4_000, recipe=recipe, shards=shards)
        settings = Settings(storage=Storage(bucket=str(folder / "bucket")), build=made, quality=quality)
        build(Order(str(source), "list"), settings, lambda: self, Lines())

    def refused(self, source: Path, folder: Path, **options: Any) -> Decision:
        """What was decided of an index that is refused with its figure and not published."""
        with pytest.raises(IndexRefused, match=r"\d+ of \d+ mates.*not published") as error:
            self.build(source, folder, **options)
        decided = decision(self.works[0])
        assert f"{decided.quality['added_fnir']:.4g}" in str(error.value)
        assert not [key for key in self.works[0].bucket.keys("catalog/") if key.endswith(".json")]
        return decided


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,600 people with two photos each."""
    faces, count = Generator("mixture", 3), ROWS // 2
    rows, _, people = faces.chunk(0, count)
    path = tmp_path_factory.mktemp("gallery") / "rows.npz"
    both = np.concatenate([rows, faces.probes(np.arange(count))[0]])
    np.savez(path, descriptors=both, person=np.array([*people, *people]))
    return path


def rewrite(work: Work, part: Part, data: bytes) -> None:
    """Damage done by the build itself: the checksum is that of the damaged file."""
    work.save_json(f"assembled/{part.name}.json", asdict(work.bucket.write(key_of(work, part), data)))


def exchanged(count: int) -> np.ndarray:
    """Every row's place, a tenth of them exchanged among each other."""
    order, chosen = np.arange(count), np.random.default_rng(5).choice(count, count // 10, replace=False)
    order[chosen] = np.roll(chosen, 1)
    return order


def permute_names(what: str) -> Damage:
    def damage(work: Work) -> None:
        part = Part(what, "", 0)
        names = Ids.open(work.bucket.read(key_of(work, part)))
        rewrite(work, part, Ids.encode(names.take(exchanged(len(names)))))

    return damage


def another_codebook(work: Work) -> None:
    name = key(next(model for model in models(work) if isinstance(model, Codes)))
    book = work.load(name)
    work.save(name, np.random.default_rng(5).standard_normal(book.shape).astype(np.float32))


def codes_of_another_codebook(work: Work) -> None:
    """The choosing half has seen a sound index; the file is exchanged before the gate."""
    another_codebook(work)
    assemble(work, Part("index", "scan", 0))


def permute_rows(work: Work) -> None:
    part, width = Part("index", "exact", 0), 2 * work.spec.dim
    data = work.bucket.read(key_of(work, part))
    first = len(data) - ROWS * width
    rows = np.frombuffer(data[first:], np.uint8).reshape(ROWS, width)
    rewrite(work, part, data[:first] + rows[exchanged(ROWS)].tobytes())


def test_an_index_that_changes_after_the_choice_is_refused(gallery: Path, tmp_path: Path) -> None:
    bench = Bench({"measure": codes_of_another_codebook})
    decided = bench.refused(gallery, tmp_path, recipe="scan")
    assert decided.quality["added_fnir"] > 0.3
    assert all(one["lost"] <= 2 for one in decided.curve if one["rerank"] == 640)
    tried = [one["rejected"] for one in decided.curve if one["rejected"].startswith("gating half")]
    assert tried, decided.curve


def test_exchanged_people_are_refused_by_person(gallery: Path, tmp_path: Path) -> None:
    bench = Bench({"assemble": permute_names("people")})
    decided = bench.refused(gallery, tmp_path, recipe="scan", group_by="person")
    assert 0.05 < decided.quality["added_fnir"] < 0.15
    assert "rows found carry the name of another row" in decided.reason


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exact index of every list waits until it is chosen, as that of a long one does."""
    monkeypatch.setattr(pipeline.assemble, "EXACT_BUILT_UP_TO", 0)
    monkeypatch.setattr(pipeline.plan, "EXACT_ONLY_BELOW", 1_000)  # so that there is something to choose from


@pytest.mark.usefixtures("late")
@pytest.mark.parametrize("shards", [1, 3])
def test_a_sound_exact_index_that_is_assembled_late_is_published(gallery: Path, tmp_path: Path, shards: int) -> None:
    bench = Bench({"encode": another_codebook})  # so that nothing else passes
    bench.build(gallery, tmp_path, recipe="auto", shards=shards)
    report = read_report(open_store(str(tmp_path / "bucket")), "list")
    assert (report.manifest.recipe, len(report.manifest.shards)) == ("exact", shards)
    assert (report.manifest.quality["lost"], report.manifest.quality["recall_at_10"]) == (0, 1.0)
    assert "speeds" not in next(one for one in report.curve if one["name"] == "exact")


@pytest.mark.usefixtures("late")
def test_a_late_exact_index_with_exchanged_names_is_refused(gallery: Path, tmp_path: Path) -> None:
    damage = {"encode": another_codebook, "assemble": permute_names("ids")}
    decided = Bench(damage).refused(gallery, tmp_path, recipe="auto")
    assert decided.name == "exact"
    assert 0.05 < decided.quality["added_fnir"] < 0.15


@pytest.mark.usefixtures("late")
def test_a_late_exact_index_with_exchanged_rows_is_refused(
    gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(work: Work, candidate: Candidate) -> None:
        assemble_all(work, candidate)
        permute_rows(work)

    monkeypatch.setattr(pipeline.quality.answers, "assemble_all", damaged)
    decided = Bench({"encode": another_codebook}).refused(gallery, tmp_path, recipe="auto")
    assert decided.name == "exact"
    assert 0.05 < decided.quality["added_fnir"] < 0.15
    assert "does not hold the rows that it was built from" in decided.reason
