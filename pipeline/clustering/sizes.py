"""How many cells a list is put into; from how many of its rows they are learned."""

from __future__ import annotations

import math

from configs.settings import Build

PER_CELL = 40
"""Sampled rows per cell that k-means learns from: from 39 on faiss is content, and more only takes longer."""

LEAST_SAMPLE = 65_536
"""Rows that are sampled of a list whose cells need no more: enough for its spectrum and for codebooks."""

WITHOUT_CELLS = ("exact", "scan")
"""Recipes of one cell."""


def cell_count(rows: int) -> int:
    """About 2.5 cells per root of the rows, a power of two: 1,024 at 200,000 rows."""
    return 1 << max(4, int(2.5 * math.sqrt(rows)).bit_length() - 1)


def sample_rows(build: Build, rows: int) -> int:
    """Rows of the sample of a list: those of the setting, else as many as its cells are best learned from."""
    needed = 0 if build.recipe in WITHOUT_CELLS else PER_CELL * cell_count(rows)
    return min(build.sample_rows or max(LEAST_SAMPLE, needed), rows)
