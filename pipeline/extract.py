"""Makes normalised rows with their names from a source: stages partition, extract."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from pipeline.artifact import Ids
from pipeline.sources.opening import open_source
from pipeline.sources.rows import Range, Source
from pipeline.stage import Item
from pipeline.workspace import Work


def source_of(work: Work) -> Source:
    """The source of the build's spec."""
    spec = work.spec
    # vectors of 32 bits are of no use if rows were rounded before
    wide = replace(spec.source, precision="float32") if spec.build.rerank == "float32" else spec.source
    return open_source(spec.source_url, wide, spec.images, spec.storage)


def partition(work: Work, _: None) -> int:
    """Cut the source into ranges of rows; nothing is read but its listing."""
    ranges = source_of(work).partitions(work.spec.build.partition_rows)
    work.save_json("partitions.json", [asdict(part) for part in ranges])
    return sum(part.stop - part.start for part in ranges)


def parts(work: Work) -> Iterable[Item]:
    """One item per partition, with its range."""
    for number, part in enumerate(work.load_json("partitions.json")):
        yield Item(f"{number:05d}", (number, part))


def numbers(work: Work) -> Iterable[Item]:
    """One item per partition, with its number."""
    for number in range(work.partitions()):
        yield Item(f"{number:05d}", number)


def extract(work: Work, value: tuple[int, dict[str, Any]]) -> int:
    """Read one range: normalised rows, ids, people, and what was rejected with the reason."""
    number, fields = value
    part = Range(**fields)
    rows = source_of(work).read(part)
    work.save(f"rows/{number:05d}.npy", rows.descriptors)
    work.write(f"ids/{number:05d}.ids", Ids.encode(rows.ids))
    if rows.people is not None:
        work.write(f"people/{number:05d}.ids", Ids.encode(rows.people))
    work.save_json(f"rejects/{number:05d}.json", [asdict(reject) for reject in rows.rejects])
    return part.stop - part.start
