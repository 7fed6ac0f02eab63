"""The engines by name."""

from __future__ import annotations

import importlib
from typing import NamedTuple

from manager.bench.peers.engine import Engine


class Entry(NamedTuple):
    """Where an engine is, and what it is."""

    where: str
    summary: str
    usual: bool = True
    """Whether it runs unless others are named."""


_HERE = "manager.bench.peers"

ENGINES = {
    "ours": Entry(f"{_HERE}.ours:Ours", "lim build, the planner's choice"),
    "exact": Entry(f"{_HERE}.exactly:Exact", "our exact search"),
    "flat": Entry(f"{_HERE}.exactly:Flat", "faiss' flat index or NumPy, the faster"),
    "hnswlib": Entry(f"{_HERE}.graphs:Hnswlib", "HNSW"),
    "usearch": Entry(f"{_HERE}.graphs:Usearch", "HNSW"),
    "autofaiss": Entry(f"{_HERE}.autofaiss:Autofaiss", "faiss IVF-PQ as autofaiss chooses it"),
    "milvus-lite": Entry(f"{_HERE}.milvus:Milvus", "Milvus Lite, HNSW"),
    "lancedb": Entry(f"{_HERE}.lance:Lance", "LanceDB, IVF-PQ with re-ranking"),
    "pgvector": Entry(f"{_HERE}.pgvector:Pgvector", "Postgres with pgvector, HNSW"),
    "scan": Entry(f"{_HERE}.ours:Scan", "lim build --recipe scan", usual=False),
    "cells": Entry(f"{_HERE}.ours:Cells", "lim build --recipe cells", usual=False),
}


def engine_class(name: str) -> type[Engine]:
    """The class of an engine; its own libraries are loaded when it is made."""
    module, _, attribute = ENGINES[name].where.partition(":")
    found: type[Engine] = getattr(importlib.import_module(module), attribute)
    return found
