"""Sizes of 4-bit codes worth a try: shorter ones are read faster, and need more candidates to be re-ranked."""

from __future__ import annotations

from pipeline.recipes.candidate import Facts
from pipeline.recipes.models import Codes

LADDER_FROM = 100_000
"""Rows from which shorter codes are tried as well; below, the longest take a fraction of a request's time."""

ALIGNED = 32
"""Kept dimensions are a multiple of this: groups of two dimensions then fill whole SIMD registers of codes."""

LEAN = 0.8
"""Share of the kept dimensions that lean codes keep, where dimensions are cut off at all."""


def ladder(facts: Facts) -> list[tuple[str, Codes]]:
    """Suffix of the candidate's name, and codes: two dimensions a group, the same of fewer dimensions, four a group.

    At 500,000 faces of 512 dimensions (mixture) on two cores, with no mate lost: 40 bytes 5,400 requests/s at recall@10
    .97, 32 bytes 6,300 at .91, 20 bytes 8,300 at .70.  RaBitQ of one bit a dimension was tried and left out: its fast
    scan in faiss 1.15 takes seven times as long as codes of the same recall.
    """
    found = [("", Codes(facts.out, facts.out // 2, 4))]
    if facts.rows < LADDER_FROM:
        return found
    lean = int(facts.out * LEAN) // ALIGNED * ALIGNED
    if lean and facts.out < facts.dim:
        found.append(("-lean", Codes(lean, lean // 2, 4)))
    if facts.out % 8 == 0:
        found.append(("-coarse", Codes(facts.out, facts.out // 4, 4)))
    return found
