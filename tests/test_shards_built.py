"""Indexes of several shards, built and asked: the same answers as one shard gives, or better ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from configs.settings import Build, Quality, Settings, Storage
from pipeline.artifact import Cache, Manifest, Point, Store, open_store, read_head, read_manifest
from pipeline.build import build
from pipeline.generate.faces import Generator
from pipeline.order import Order
from pipeline.progress import Lines
from pipeline.quality import measure
from pipeline.search.opening import open_index
from pipeline.stage import serial

ROWS = 3_000
SMALL = Quality(mated_probes=800, non_mates=300, added_fnir=0.005)


@pytest.fixture(autouse=True)
def _hardly_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speeds are of no interest here."""
    monkeypatch.setattr(measure, "MOST_SECONDS", 0.01)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,500 people with two photos each, of which some carry the id of another."""
    faces, count = Generator("mixture", 3), ROWS // 2
    rows, _, people = faces.chunk(0, count)
    ids = [f"face-{number}" for number in range(ROWS)]
    for number in (17, 1_234, 2_999):
        ids[number] = "face-3"
    path = tmp_path_factory.mktemp("gallery") / "rows.npz"
    both = np.concatenate([rows, faces.probes(np.arange(count))[0]])
    np.savez(path, descriptors=both, id=np.array(ids), person=np.array([*people, *people]))
    return path


@dataclass(frozen=True)
class Asked:
    """A published index, all of whose shards are asked."""

    store: Store
    manifest: Manifest
    cache: Cache

    def answers(
        self, queries: NDArray[np.float32], k: int, point: Point, most_mapped: int | None = None
    ) -> tuple[NDArray[np.float32], list[list[str]]]:
        """The k best (n, k) of all shards by similarity, then by name, each shard searched at this point."""
        found: list[list[tuple[float, str]]] = [[] for _ in queries]
        for shard in range(len(self.manifest.shards)):
            folder = self.cache.fetch(self.store, self.manifest, shard)
            index = open_index(folder, self.manifest, shard, most_mapped=most_mapped)
            assert len(index.ids) == self.manifest.shards[shard].rows
            assert index.people is not None
            assert len(index.people) == len(index.ids)
            for query, (similarities, numbers) in enumerate(zip(*index.search(queries, k, point=point), strict=True)):
                rows = zip(similarities.tolist(), numbers.tolist(), strict=True)
                found[query] += [(-value, str(index.ids[number])) for value, number in rows if number >= 0]
            index.close()
        best = [sorted(one)[:k] for one in found]
        return np.array([[-value for value, _ in one] for one in best], np.float32), [
            [name for _, name in one] for one in best
        ]


def published(gallery: Path, folder: Path, *, quality: Quality = SMALL, **fields: Any) -> Asked:
    made = Build(**{"partition_rows": 700, "sample_rows": 3_000, **fields})
    settings = Settings(storage=Storage(bucket=str(folder / "bucket")), build=made, quality=quality)
    built = build(Order(str(gallery), "list"), settings, lambda: serial, Lines())
    store = open_store(str(folder / "bucket"))
    manifest = read_manifest(store, "list", read_head(store, "list")[0].index_id)
    assert manifest == built.manifest
    assert store.keys("work/") == []
    listed = {file.key for shard in manifest.shards for file in shard.files}
    home = f"indexes/list/{manifest.index_id}/"
    assert {key.removeprefix(home) for key in store.keys(home + "shards/")} == listed
    return Asked(store, manifest, Cache(folder / "cache", 1 << 30))


def probes(count: int = 300) -> NDArray[np.float32]:
    return Generator("mixture", 3).probes(np.arange(0, ROWS // 2, ROWS // 2 // count)[:count])[0].astype(np.float32)


def test_exact_answers_are_the_same_from_one_two_and_four_shards(gallery: Path, tmp_path: Path) -> None:
    whole = published(gallery, tmp_path / "1", recipe="exact")
    assert (whole.manifest.format, whole.manifest.count) == (1, ROWS - 3)
    similarities, names = whole.answers(probes(), 20, Point(0, 0))
    for shards in (2, 4):
        parted = published(gallery, tmp_path / str(shards), recipe="exact", shards=shards)
        assert (parted.manifest.format, len(parted.manifest.shards)) == (2, shards)
        ours, ids = parted.answers(probes(), 20, Point(0, 0))
        assert np.abs(ours - similarities).max() < 1e-6
        for query, place in np.argwhere(np.array(ids) != np.array(names)).tolist():
            # another row may stand there only where it is as similar
            tied = np.flatnonzero(np.abs(similarities[query] - similarities[query, place]) < 1e-6)
            assert len(tied) > 1 or place == 19, (query, place)


@pytest.mark.parametrize(
    ("recipe", "fields"),
    [
        ("scan", {}),
        ("cells", {}),
        pytest.param("cells", {"assignments": 2, "rerank": "int8"}, marks=pytest.mark.drill),
    ],
)
def test_coded_answers_are_no_worse_than_those_of_one_shard(
    gallery: Path, tmp_path: Path, recipe: str, fields: dict[str, Any]
) -> None:
    whole = published(gallery, tmp_path / "1", recipe=recipe, **fields)
    parted = published(gallery, tmp_path / "4", recipe=recipe, shards=4, **fields)
    assert parted.manifest.parameters == whole.manifest.parameters
    cells = int(whole.manifest.parameters.get("nlist", 1))
    for point in (Point(max(cells // 8, 1), 20), Point(max(cells // 4, 1), 40)):
        for k in (1, 10):
            one, four = whole.answers(probes(), k, point)[0], parted.answers(probes(), k, point)[0]
            assert (four[:, -1] >= one[:, -1] - 1e-6).all()
            assert (four >= one - 1e-6).all()
    # rows that are read instead of mapped give the same
    read = parted.answers(probes(), 10, point, most_mapped=0)
    assert np.abs(read[0] - four).max() < 1e-6


def test_shards_are_as_small_as_their_bytes_say(gallery: Path, tmp_path: Path) -> None:
    """Measured and gated with rows that are read, since a shard's vectors are more than its bytes."""
    asked = published(gallery, tmp_path, recipe="scan", shard_bytes=450_000)
    its = asked.manifest
    report = asked.store.read(f"indexes/list/{its.index_id}/report.html").decode()
    assert "The index has 2 shards: figures are of what all of them find together" in report
    assert len(its.shards) == 2
    assert all(shard.memory.anonymous <= 450_000 for shard in its.shards)
    assert its.shards[0].files[2].key == "shards/0000/vectors.dat"
    assert its.shards[0].files[2].nbytes > 450_000
    assert its.quality["lost"] == 0
    measured = [one for one in its.points if "speeds" in one]
    assert len(measured) >= 4
    assert all(one["speeds"][0]["batch"] == 1 and one["batch_us"] > 0 for one in measured)


def test_people_are_found_across_shards(gallery: Path, tmp_path: Path) -> None:
    """Both photos of a person are 1,500 rows apart, so in different shards."""
    its = published(gallery, tmp_path, recipe="scan", quality=replace(SMALL, group_by="person"), shards=4).manifest
    assert len(its.shards) == 4
    assert its.quality["group_by"] == "person"
    assert its.quality["lost"] == 0
    assert its.quality["recall_at_10"] > 0.98
