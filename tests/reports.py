"""Reports made by hand, for what is computed from them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from manifests import manifest_of
from numpy.typing import NDArray

from pipeline.artifact import Descriptor
from pipeline.quality.bounds import interval
from pipeline.quality.reading import Det, Histograms, Report

CONFIDENCE = 0.95
KEYS = ("added_fnir", "rank1_miss", "recall_at_1", "recall_at_10", "index_fpir", "exact_fnir", "exact_rank1_miss")


def report_of(
    impostors: NDArray[np.float64],
    mates: NDArray[np.float64],
    *,
    index_id: str = "one",
    rows: int = 10_000,
    **shares: float,
) -> Report:
    """The report of an index that answers as exact search does, with best similarities of non-mates and of mates.

    `shares` are key figures of the gating half, 0 where none is given.
    """
    thresholds = np.unique(np.quantile(impostors, [0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0]))
    fpir = np.array([(impostors >= one).mean() for one in thresholds])
    fnir = np.array([(mates < one).mean() for one in thresholds])
    quality = {
        "fpir": 0.01,
        "k": 10,
        "confidence": CONFIDENCE,
        "target": 0.001,
        "gained": 0,
        "added_fnir_bound": 0.0009,
    }
    quality |= {"probes": len(mates), "non_mates": len(impostors), "threshold": float(thresholds[-2])}
    quality |= {name: shares.get(name, 0.0) for name in KEYS}
    ends = {name: list(interval(round(quality[name] * len(mates)), len(mates), CONFIDENCE)) for name in KEYS}
    decision = {"quality": quality, "intervals": ends, "curve": [], "name": "scan", "reason": "made by hand"}
    build = {"partition_rows": 25_000, "threads_per_task": 1, "rerank": "int8"}
    probes = {"mated": "made by hand", "non_mates": "made by hand"}
    data: dict[str, Any] = {"decision": decision, "spec": {"build": build}, "stages": {}, "probes": probes}
    manifest = replace(
        manifest_of(index_id=index_id), count=rows, parameters={"out": 160}, quality=quality,
        descriptor=Descriptor(version="59", dim=512),
    )  # fmt: skip
    table = [_row(one, float(at), (impostors, mates)) for one, at in zip(fpir, thresholds, strict=True)]
    empty = Histograms(np.array([0.0, 1.0]), np.zeros(1, np.int64), np.zeros(1, np.int64), 0)
    return Report(manifest, [], Det(thresholds, fpir, fpir, fnir, fnir), empty, table, [], probes, None, "", data)


def _row(fpir: float, threshold: float, both: tuple[NDArray[np.float64], NDArray[np.float64]]) -> dict[str, Any]:
    alarms, misses = int((both[0] >= threshold).sum()), int((both[1] < threshold).sum())
    ends = {
        "fpir_index": list(interval(alarms, len(both[0]), CONFIDENCE)),
        "fnir_index": list(interval(misses, len(both[1]), CONFIDENCE)),
    }
    return {
        "fpir": fpir, "resolvable": True, "threshold": threshold, "fpir_index": alarms / len(both[0]),
        "fnir_index": misses / len(both[1]), "intervals": ends,
    }  # fmt: skip


def timed(name: str, nprobe: int, rerank: int, *, cost_us: float, qps: float, bound: float) -> dict[str, Any]:
    """A measured operating point."""
    speeds = [{"batch": size, "qps": qps, "p50_ms": 1e3 * size / qps} for size in (1, 8, 64, 256)]
    return {
        "name": name, "nprobe": nprobe, "rerank": rerank, "cost_us": cost_us, "speeds": speeds,
        "added_fnir_bound": bound, "rejected": "",
    }  # fmt: skip
