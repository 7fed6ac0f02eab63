"""What a clustering into very many cells would need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipeline.clustering.sizes import PER_CELL
from pipeline.planning.cluster import Cluster
from pipeline.planning.demand import Demand, Step
from pipeline.planning.rates import Rates
from pipeline.planning.subject import Subject
from pipeline.planning.times import seconds
from pipeline.planning.training import clustered

VERY_MANY = 262_144
"""Cells of a list of some billions."""


def very_many(subject: Subject, cluster: Cluster, rates: Rates, cells: int = VERY_MANY) -> dict[str, Any]:
    """Sample rows, bytes of the sample, of the centroids, of the largest task, of the bucket; seconds of the clustering.

    The list is taken to be long enough: it must hold the sample.
    """
    sample = cells * PER_CELL
    wide = replace(subject, rows=max(subject.rows, sample), build=replace(subject.build, sample_rows=sample))
    steps: tuple[Step, ...] = tuple(clustered(wide, cells, wide.out))
    demand = Demand("train", steps)
    return {
        "cells": cells, "sample_rows": sample, "sample_bytes": sample * wide.dim * wide.width,
        "projected_bytes": sample * wide.out * 4, "centroid_bytes": cells * wide.out * 4,
        "peak": int(rates.process) + demand.peak, "items": demand.items, "read": demand.read, "written": demand.written,
        "seconds": seconds(demand, cluster, rates),
    }  # fmt: skip
