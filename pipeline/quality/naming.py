"""Checks that an index gives its rows the names that the source gave them."""

from __future__ import annotations

import numpy as np

from pipeline.artifact import Ids
from pipeline.quality.arrays import Numbers
from pipeline.row_names import names_of
from pipeline.workspace import Work


def misnamed(work: Work, names: Ids, numbers: Numbers, what: str = "ids", begin: int = 0) -> Numbers:
    """Those of the gallery rows (any shape) for which `names` has another name than the source: sorted, each once.

    `what` is `ids` or `people`; the names are of a shard whose first row is `begin`, and rows of others do not count.
    One pass over the names of the partitions.
    """
    wanted = np.unique(numbers[(numbers >= begin) & (numbers < begin + len(names))])
    wrong: list[int] = []
    first = 0
    for part, count in enumerate(work.census()["kept"]):
        here = wanted[(wanted >= first) & (wanted < first + count)]
        if len(here):
            source = names_of(work, what, part)
            # as text: names of one kind in a partition may be strings beside those of another
            pairs = zip(source.take(here - first), names.take(here - begin), here.tolist(), strict=True)
            wrong += [number for ours, theirs, number in pairs if str(ours) != str(theirs)]
        first += count
    return np.array(wrong, np.int64)
