"""Under which terms a manager's build publishes: its fence, what the matchers read that are announced."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.settings import Build, Quality, Settings, Storage
from pipeline.artifact import BUILD, MANIFEST, FenceTooOld, Store, open_store, read_head, take_fence
from pipeline.build import Built, build, make_spec
from pipeline.errors import ReadersTooOld
from pipeline.generate.faces import Generator
from pipeline.order import Order
from pipeline.progress import Lines
from pipeline.spec import BuildSpec, Terms
from pipeline.stage import Done, Item, Runner, Stage, serial
from pipeline.workspace import Work

ROWS = 1_500
TERMS = Terms(fence=7, newest_format=1, oldest_reader="matcher-1")


@pytest.fixture
def order(tmp_path: Path) -> Order:
    np.save(tmp_path / "rows.npy", Generator("wide", 3, dim=64).chunk(0, ROWS)[0])
    return Order(str(tmp_path / "rows.npy"), "list", index_id="the-index")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An index of two shards, which is format 2."""
    small = Build(recipe="exact", shards=2, partition_rows=1_000)
    return Settings(
        storage=Storage(bucket=str(tmp_path / "bucket")), build=small, quality=Quality(mated_probes=300, non_mates=100)
    )


@pytest.fixture
def store(settings: Settings) -> Store:
    return open_store(settings.storage.bucket)


def noting(done: list[str]) -> Callable[[], Runner]:
    """A runner that remembers which stages it did items of."""

    def run(stage: Stage, work: Work, items: list[Item], report: Callable[[Done], None]) -> None:
        done.append(stage.name)
        serial(stage, work, items, report)

    return lambda: run


def test_terms_are_no_part_of_a_build(order: Order, settings: Settings) -> None:
    spec = make_spec(order, settings)
    under = replace(spec, terms=TERMS)
    assert under.work_hash == spec.work_hash
    assert under.to_json() == spec.to_json()
    assert "terms" not in json.loads(under.to_json())
    assert BuildSpec.from_json(under.to_json()) == replace(spec, terms=Terms())


def test_publishing_is_refused_until_the_terms_allow_it(order: Order, settings: Settings, store: Store) -> None:
    """An older matcher, then a newer leader, then neither: each later try has only to publish."""
    stages: list[str] = []

    def tried(terms: Terms) -> Built:
        stages.clear()
        return build(order, settings, noting(stages), Lines(), lambda: terms)

    old, new = take_fence(store, BUILD), take_fence(store, BUILD)
    with pytest.raises(
        ReadersTooOld,
        match="list the-index: expected format 1 or older, the newest that the matcher 'matcher-1' reads, got 2: update that",
    ):
        tried(Terms(fence=new, newest_format=1, oldest_reader="matcher-1"))
    assert "extract" in stages
    with pytest.raises(FenceTooOld, match="which is 2, got 1: another leader has taken over"):
        tried(Terms(fence=old, newest_format=2, oldest_reader="matcher-1"))
    assert stages == ["publish"]
    assert [key for key in store.entries() if key.endswith(MANIFEST) or key.startswith("catalog/")] == []
    built = tried(Terms(fence=new, newest_format=2, oldest_reader="matcher-1"))
    assert (stages, built.manifest.format, built.manifest.index_id) == (["publish"], 2, "the-index")
    assert read_head(store, "list")[0].fences == {"build": new}
