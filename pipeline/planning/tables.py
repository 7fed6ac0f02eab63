"""Plans as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from pipeline.planning.cluster import Cluster
from pipeline.planning.forecast import EVALUATION, Forecast


def tables(plans: Sequence[Forecast | str], cluster: Cluster, many: dict[str, Any]) -> Iterator[Table | str]:
    """What is to be printed: an overview, the stages of each plan, what very many cells need, what must be changed.

    A plan that is a text was refused, which it says.
    """
    yield _overview([one for one in plans if isinstance(one, Forecast)], cluster)
    for one in plans:
        if isinstance(one, Forecast):
            yield _stages(one)
    for one in plans:
        yield from one.notes if isinstance(one, Forecast) else (f"refused: {one}",)
    yield said(many)


def said(many: dict[str, Any]) -> str:
    """What very many cells need, in a sentence."""
    return (
        f"{many['cells']:,} cells need {many['sample_rows']:,} sample rows ({size(many['sample_bytes'])}, of which training "
        f"reads {size(many['projected_bytes'])} of projections), {size(many['peak'])} in a worker, {many['items']:,} items and "
        f"{duration(many['seconds'])}; the centroids take {size(many['centroid_bytes'])}."
    )


def _overview(plans: Sequence[Forecast], cluster: Cluster) -> Table:
    limit = size(cluster.memory_limit) if cluster.memory_limit else "no limit"
    title = f"{cluster.workers} workers x {cluster.threads} tasks, {cluster.cores} cores, {limit} each"
    columns = (
        "rows", "recipe", "cells", "bytes/row", "shards", "sample", "partitions", "index", "worker's peak", "read",
        "written", "making", "in all",
    )  # fmt: skip
    table = Table(*columns, title=f"lim plan: {title}")
    for number in range(len(columns)):
        table.columns[number].justify = "right"
    for one in plans:
        table.add_row(
            f"{one.rows:,}", one.recipe, f"{one.cells:,}", f"{one.code_bytes}", f"{one.shards}", f"{one.sample:,}",
            f"{one.partitions:,}", size(one.index_bytes), size(one.peak), size(one.read), size(one.written),
            duration(one.making_s), duration(one.seconds),
        )  # fmt: skip
    return table


def _stages(plan: Forecast) -> Table:
    table = Table("stage", "items", "worker's peak", "mapped", "read", "written", "time", title=f"{plan.rows:,} rows")
    for number in range(1, 7):
        table.columns[number].justify = "right"
    for one in plan.stages:
        name = f"{one.stage} (evaluation)" if one.stage in EVALUATION else one.stage
        table.add_row(
            name, f"{one.items:,}", size(one.peak), size(one.mapped) if one.mapped else "", size(one.read), size(one.written),
            duration(one.seconds),
        )  # fmt: skip
    return table


def size(nbytes: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if nbytes < 1024:
            return f"{nbytes:.3g} {unit}" if nbytes < 999.5 else f"{nbytes:.0f} {unit}"
        nbytes /= 1024
    return f"{nbytes:,.1f} TiB"


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:,.1f} days"
