"""Builds a short list as one item: what stages leave for each other stays in the memory of one worker.

The bytes that are published are the same.  Some two dozen requests to the bucket remain of more than a hundred, and one
task of fifteen; a worker that dies costs the whole item, which is a second or so.
"""

from __future__ import annotations

import time
from dataclasses import replace

from pipeline.errors import IndexRefused
from pipeline.patience import patiently
from pipeline.publishing import REPORTS
from pipeline.scratch import Scratch
from pipeline.stage import Done, Stage, leave_marker
from pipeline.stages import BUILD
from pipeline.workspace import Work


def whole(work: Work, _: None) -> int:
    """All stages, one after the other; returns the rows of the index.  Raises what they raise."""
    scratch = Scratch(work.bucket, work.prefix)
    inside, rows = replace(work, bucket=scratch), 0
    try:
        for stage in BUILD:
            rows = _stage(stage, inside)
    except IndexRefused:
        for name in REPORTS:  # which say why
            scratch.hand_over(work.prefix + name)
        raise
    return rows


def _stage(stage: Stage, work: Work) -> int:
    """Rows of its last item."""
    rows = 0
    for item in sorted(stage.items(work), key=lambda one: one.wave):
        began, spent = time.monotonic(), time.process_time()
        rows = patiently(lambda value=item.value: stage.run(work, value), work.spec.storage.patience_s)  # type: ignore[misc]
        leave_marker(stage, work, Done(item.key, rows, time.monotonic() - began, time.process_time() - spent))
    return rows


WHOLE = (Stage("whole", whole),)
"""The build of a short list."""
