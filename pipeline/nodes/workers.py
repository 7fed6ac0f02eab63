"""Asks a cluster for the workers that compute the same bytes as a build's own machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from pipeline.errors import StageFailed
from pipeline.nodes.offers import kin, own_versions, wanted
from pipeline.spec import BuildSpec

POLL_S = 0.2


def alike(client: Any, spec: BuildSpec) -> dict[str, dict[str, Any]]:
    """What the scheduler knows of each worker, by address, that may do items of a build."""
    needed = wanted(spec)
    return {
        address: worker
        for address, worker in client.scheduler_info(n_workers=-1)["workers"].items()
        if all(worker["resources"].get(name, 0) >= amount for name, amount in needed.items())
    }


def require_alike(client: Any, spec: BuildSpec, timeout_s: float) -> dict[str, dict[str, Any]]:
    """The workers that may do items of a build, as soon as there is one.

    Raises StageFailed when there is none for `timeout_s`; it says of each worker in what it differs.
    """
    until = time.monotonic() + timeout_s
    while not (found := alike(client, spec)):
        if time.monotonic() > until:
            raise StageFailed(nobody(client, spec, timeout_s))
        time.sleep(POLL_S)
    return found


def nobody(client: Any, spec: BuildSpec, timeout_s: float) -> str:
    """Why no worker may do items of a build."""
    others = client.scheduler_info(n_workers=-1)["workers"]
    place = client.scheduler.address
    if not others:
        return f"{place}: expected workers, got none within {timeout_s:.0f} s: start `lim indexer` with this dask.scheduler"
    # a worker without our code answers with an error, which is a difference as well
    answers = client.run(own_versions, spec.device, on_error="return")
    lines = [
        f"{address} ({others[address]['name']}): {_difference(spec, answers.get(address), worker)}"
        for address, worker in others.items()
    ]
    return (
        f"{place}: expected a worker that computes the same bytes as this machine within {timeout_s:.0f} s, got none: "
        f"{'; '.join(lines)}; install the same versions there and here, or start the command on a machine like those"
    )


def _difference(spec: BuildSpec, answer: Any, worker: Mapping[str, Any]) -> str:
    if not isinstance(answer, dict):
        return f"was not able to say what it has ({answer or 'it left'})"
    names = sorted(answer.keys() | spec.versions.keys())
    differing = [
        f"{name} {answer.get(name, 'missing')} instead of {spec.versions.get(name, 'missing')}"
        for name in names
        if answer.get(name) != spec.versions.get(name)
    ]
    if differing:
        return ", ".join(differing)
    missing = [name for name, amount in wanted(spec).items() if worker["resources"].get(name, 0) < amount]
    if missing == ["GPU"]:
        return "has no GPU"
    return f"does not offer {kin(spec.versions)}: start it by `lim indexer` or `lim cluster`, not by hand"
