"""Reads what was measured of a published index."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import (
    ArtifactCorrupt,
    ArtifactError,
    FormatTooNew,
    Manifest,
    Store,
    index_prefix,
    read_head,
    read_manifest,
)

REPORT = 2
"""Version of `report.json`.  1, which did not say so, had neither the curve of errors nor counts nor cohorts."""


@dataclass(frozen=True, slots=True)
class Det:
    """Errors at each threshold, ascending; every array is (t,) float64."""

    thresholds: NDArray[np.float64]
    fpir: NDArray[np.float64]
    """Share of non-mates that exact search accepts."""
    fpir_index: NDArray[np.float64]
    fnir_exact: NDArray[np.float64]
    """Share of mated probes that exact search does not accept."""
    fnir_index: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Histograms:
    """Exact search's similarities, counted."""

    edges: NDArray[np.float64]
    """(b + 1,)"""
    mates: NDArray[np.int64]
    """(b,) mated probes by their best mate."""
    impostors: NDArray[np.int64]
    """(b,) non-mated probes by their best candidate."""
    mates_missing: int
    """Mated probes without a mate among their candidates."""


@dataclass(frozen=True, slots=True)
class Report:
    """What evaluate measured of an index, on the half of the probes that had no part in choosing."""

    manifest: Manifest
    curve: list[dict[str, Any]]
    """Every operating point: `name`, `nprobe`, `rerank`, `cost_us` predicted, the figures of the choosing half
    (`added_fnir`, `recall_at_10`, …), `rejected` = why it was not chosen ("" of the chosen one) and, where it was
    measured, `speeds`: `{batch, qps, p50_ms, p99_ms, calls}` for batches of 1, 8, 64 and 256; milliseconds of a call."""
    det: Det
    histograms: Histograms
    thresholds: list[dict[str, Any]]
    """Per FPIR, largest first: `fpir`, `resolvable`, `threshold`, `fnir_exact`, `fnir_index`, `added_fnir`, `fpir_exact`,
    `fpir_index`, `intervals` (of each of the five).  Where not resolvable, all but the first two are None."""
    cohorts: list[dict[str, Any]]
    """Groups of mated probes: `by`, `cohort`, `probes`, `fnir_exact`, `fnir_index`, `added_fnir`, `recall_at_10`,
    `intervals` (of the three shares)."""
    probes: dict[str, Any]
    """`mated`, `non_mates`: where they come from; `people`: how many the mated ones are of."""
    noise: dict[str, Any] | None
    """The model in numbers, if mates were made: `source`, `calibration`, `cosine` (`mean`, `sd`, `quantiles`),
    `noise_dimensions`, …; None where they are real."""
    group_by: str
    """"person" where candidates are people, "" where they are rows."""
    data: dict[str, Any]
    """The whole of `report.json`."""


def read_report(store: Store, label: str, index_id: str | None = None) -> Report:
    """The report of an index; without `index_id`, of the one that the catalog's head serves.

    Raises ArtifactMissing for an unknown label or index, ArtifactError for a report of an older version, FormatTooNew
    for one of a newer, ArtifactCorrupt for anything else.
    """
    chosen = read_head(store, label)[0].index_id if index_id is None else index_id
    manifest = read_manifest(store, label, chosen)
    key = index_prefix(label, chosen) + "report.json"
    data = _checked(store.read(key), key)
    try:
        return Report(
            manifest=manifest, curve=data["decision"]["curve"], thresholds=data["thresholds"], cohorts=data["cohorts"],
            det=Det(**{one.name: np.array(data["det"][one.name], np.float64) for one in fields(Det)}),
            histograms=_histograms(data["histograms"]), probes=data["probes"],
            noise=data["noise"], group_by=data["group_by"], data=data,
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactCorrupt(f"{key}: expected a report of version {REPORT}, got one without {error}") from None


def _checked(text: bytes, key: str) -> dict[str, Any]:
    """The fields of a report of this version."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactCorrupt(f"{key}: expected JSON, got {text[:20]!r}… ({error})") from None
    if not isinstance(data, dict):
        raise ArtifactCorrupt(f"{key}: expected an object, got {type(data).__name__}")
    version = data.get("report", 1)
    if not isinstance(version, int):
        raise ArtifactCorrupt(f"{key}: expected the number of the report's version, got {version!r}")
    if version > REPORT:
        raise FormatTooNew(f"{key}: expected report {REPORT} or older, got {version}: update this installation")
    if version < REPORT:
        raise ArtifactError(
            f"{key}: expected report {REPORT}, got {version}, which has no curve of errors: build the index again to measure it"
        )
    return data


def _histograms(data: dict[str, Any]) -> Histograms:
    counts = {name: np.array(data[name], np.int64) for name in ("mates", "impostors")}
    return Histograms(np.array(data["edges"], np.float64), counts["mates"], counts["impostors"], data["mates_missing"])
