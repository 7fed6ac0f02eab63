"""What a worker offers to the scheduler, by which the scheduler knows the workers that are alike."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from pipeline.artifact import FORMAT
from pipeline.device.gpu_found import asked, count
from pipeline.device.versions import platform_versions
from pipeline.spec import BuildSpec

INDEXER = "INDEXER"
"""A slot: each item takes one, so that a worker does as many at a time as it has threads."""
GPU = "GPU"
"""An item of a build on GPUs takes one."""


def own_versions(kind: str) -> dict[str, str]:
    """What decides which bytes this machine computes on the device `cpu` or `gpu`; a build's spec holds it."""
    return platform_versions(kind) | {"format": str(FORMAT)}


def kin(versions: Mapping[str, str]) -> str:
    """The resource that only workers with exactly these versions offer: `lim-` with 12 hexadecimal digits."""
    return "lim-" + hashlib.sha256(json.dumps(dict(versions), sort_keys=True).encode()).hexdigest()[:12]


def offered(slots: int) -> dict[str, float]:
    """The resources of a worker of this machine with `slots` threads.

    They are given to the worker before it joins: the scheduler looks at items that wait for a resource when a
    worker joins, not when one changes its mind.
    """
    found = {INDEXER: float(slots), kin(own_versions("cpu")): float(slots)}
    if not asked():
        found |= {GPU: float(count()), kin(own_versions("gpu")): float(slots)}
    return found


def wanted(spec: BuildSpec) -> dict[str, float]:
    """The resources that an item of a build takes."""
    found = {INDEXER: 1.0, kin(spec.versions): 1.0}
    return found | {GPU: 1.0} if spec.device == "gpu" else found
