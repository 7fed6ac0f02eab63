"""Interleaved rounds: all engines in turn, again and again, so that a slow moment of the machine hits all alike."""

from __future__ import annotations

import statistics

from manager.bench.peers.engine import BATCH, Knobs
from manager.bench.peers.hosting import EngineFailed, TookTooLong
from manager.bench.peers.measuring import Subject
from pipeline.quality.probes import GATING

OURS = "ours"
BATCHES = 8
"""A round may take as long as so many batches at the rate that was measured, and a minute."""


def take_turns(subjects: list[Subject], repeats: int, seconds: float) -> None:
    """Fill `rates`, `qps` and `ratio` of every result that has a chosen point."""
    there = {one.name: (one, one.result.judged.point) for one in subjects if one.result.judged is not None}
    for number in range(repeats):
        for one, point in list(there.values()):
            one.told.doing(f"round {number + 1} of {repeats}", number, repeats)
            try:
                one.result.rates.append(_rate(one, point, seconds))
            except (EngineFailed, TookTooLong) as error:
                one.result.status = f"failed in round {number + 1}: {error}"
                del there[one.name]
    ours = next((one.result.rates for one in subjects if one.name == OURS), [])
    for one in subjects:
        rates = one.result.rates
        if rates:
            one.result.qps = statistics.median(rates)
        if rates and len(rates) == len(ours):
            one.result.ratio = statistics.median(a / b for a, b in zip(ours, rates, strict=True))


def _rate(subject: Subject, point: Knobs, seconds: float) -> float:
    slow = min(one.qps for one in subject.result.tried)
    within = 60.0 + seconds + BATCHES * point.get("batch", BATCH) / max(slow, 0.1)
    depth = subject.exam.depth(subject.exam.half(GATING))
    rate: float = subject.running.ask("pace", within, point=point, depth=depth, seconds=seconds)["qps"]
    return rate
