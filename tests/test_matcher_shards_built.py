"""Indexes of one, two and four shards as builds publish them, asked through Redis: the same answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import redis
from matchers import matchers
from numpy.typing import NDArray
from waiting import wait_until

from configs.settings import Build, Client, Quality, Settings, Storage
from matcher import keys
from matcher.client_sync import SyncMatchClient
from matcher.merge import Answer
from pipeline.build import build
from pipeline.generate.faces import Generator
from pipeline.order import Order
from pipeline.progress import Lines
from pipeline.stage import serial

PEOPLE = 1_500
SMALL = Quality(mated_probes=700, non_mates=300, added_fnir=0.01)


def gallery(folder: Path) -> Path:
    """Two photos of each of 1,500 people, as many rows apart, so in different shards."""
    faces = Generator("mixture", 3)
    rows, _, people = faces.chunk(0, PEOPLE)
    both = np.concatenate([rows, faces.probes(np.arange(PEOPLE))[0]])
    ids = [f"face-{number}" for number in range(2 * PEOPLE)]
    np.savez(folder / "rows.npz", descriptors=both, id=np.array(ids), person=np.array([*people, *people]))
    return folder / "rows.npz"


def same(ours: list[Answer], theirs: list[Answer]) -> None:
    """The same faces; others may stand only where they are as similar."""
    for one, other in zip(ours, theirs, strict=True):
        found = np.array([face.similarity for face in one.candidates])
        expected = np.array([face.similarity for face in other.candidates])
        assert np.abs(found - expected).max() < 1e-6
        for place, (face, wanted) in enumerate(zip(one.candidates, other.candidates, strict=True)):
            tied = (np.abs(expected - expected[place]) < 1e-6).sum() > 1 or place == len(expected) - 1
            assert face.id == wanted.id or tied


def test_builds_of_one_two_and_four_shards_answer_alike(redis_url: str, tmp_path: Path) -> None:
    source = gallery(tmp_path)
    probes: NDArray[np.float16] = Generator("mixture", 3).probes(np.arange(0, PEOPLE, 10), 1)[0]
    answers: dict[int, list[Answer]] = {}
    people: dict[int, list[Answer]] = {}
    with matchers(tmp_path, redis_url) as group, redis.Redis.from_url(redis_url) as line:
        for name in ("a", "b"):
            group.begin(name)
        for shards in (1, 2, 4):
            made = Build(partition_rows=900, sample_rows=2_000, recipe="exact", shards=shards)
            settings = Settings(storage=Storage(bucket=str(tmp_path / "bucket")), build=made, quality=SMALL)
            index_id = build(Order(str(source), "list"), settings, lambda: serial, Lines()).manifest.index_id
            wait_until(lambda: line.get(keys.serving("list")) == index_id.encode(), timeout_s=20, what="serving it")  # noqa: B023
            with SyncMatchClient(redis_url, Client(timeout_ms=10_000)) as client:
                answers[shards] = client.match_many("list", probes, limit=10)
                people[shards] = client.match_many("list", probes, limit=5, group_by="person")
            assert {(one.index_id, one.shards, one.partial) for one in answers[shards]} == {(index_id, shards, False)}
    for shards in (2, 4):
        same(answers[shards], answers[1])
        same(people[shards], people[1])
    whose = lambda face: int(str(face.id).partition("-")[2]) % PEOPLE  # noqa: E731
    assert all(len({whose(face) for face in one.candidates}) == 5 for one in people[4])
    assert np.mean([whose(one.candidates[0]) == 10 * number for number, one in enumerate(people[4])]) > 0.9
