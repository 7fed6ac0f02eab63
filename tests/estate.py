"""All of it as processes: two managers, an indexer at a scheduler, two matchers, over a real Redis and a real S3."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client
from managers import Managers, managers
from matchers import Matchers, matchers
from nodes import Nodes, nodes

from configs.settings import Storage
from manager.embedded.seaweed import S3
from pipeline.artifact import Store, open_store
from pipeline.nodes.noting import TOPIC

SLOTS = 2
"""Items that the indexer does at a time."""


@dataclass
class Estate:
    """What runs."""

    folder: Path
    nodes: Nodes
    managers: Managers
    matchers: Matchers
    store: Store
    begun: Counter[str] = field(default_factory=Counter)
    """How often each item was begun by a worker: `stage key` by number, of all builds so far."""

    def heard(self, event: tuple[float, dict[str, str]]) -> None:
        """A worker said something."""
        line = event[1]["line"]
        if line.endswith(" begins"):
            self.begun[line.removesuffix(" begins")] += 1

    def serving(self, label: str) -> list[str]:
        """The index that each matcher serves."""
        return [one.indexes().get(label, "") for one in self.matchers.running]


@contextmanager
def estate(folder: Path, redis_url: str, s3: S3, prefix: str, **environ: str) -> Iterator[Estate]:
    """Everything, joined and answering; ended with the block.  Builds go through the scheduler to one indexer."""
    bucket = {"LIM_STORAGE__BUCKET": f"{s3.url}/{prefix}", "LIM_STORAGE__ENDPOINT_URL": s3.endpoint}
    settings = bucket | environ
    (folder / "lists").mkdir()
    with nodes(folder, 0, **settings) as cluster, matchers(folder, redis_url) as answering:
        cluster.start_indexer("--slots", str(SLOTS))
        cluster.wait_joined()
        for name in ("one", "two"):
            answering.start(name, **bucket)
        with (
            managers(folder, redis_url, 2, LIM_DASK__SCHEDULER=cluster.address, **settings) as leading,
            Client(cluster.address, set_as_default=False) as client,
        ):
            store = open_store(f"{s3.url}/{prefix}", Storage(endpoint_url=s3.endpoint))
            found = Estate(folder, cluster, leading, answering, store)
            client.subscribe_topic(TOPIC, found.heard)
            yield found


def shown(figures: dict[str, Any]) -> None:
    """Figures of a drill, for people who run it with -s."""
    print(json.dumps(figures, indent=1))  # noqa: T201 - what they look for
