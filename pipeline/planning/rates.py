"""How fast one core of a machine does each kind of work: the coefficients of the cost model.

Decisions of a build never read them: they predict, `pipeline.recipes.costs` decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pipeline.errors import BuildError


class RatesUnreadable(BuildError):
    """A file of coefficients that is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Per second of one core, all cores being busy; the defaults are those of a two-core AVX-512 server."""

    read: float = 1.5e9
    """Bytes of the bucket."""
    write: float = 0.6e9
    """Bytes of the bucket, checksum included."""
    normalise: float = 290e6
    """Components of rows of the source, read, made unit norm, rounded."""
    names: float = 1.7e6
    """Ids or people of the source, decoded, checked, encoded."""
    hashed: float = 4.2e6
    """Ids or people whose keys are computed, then sorted, in one pass of the census."""
    widened: float = 730e6
    """Components turned from half floats into floats."""
    product: float = 105e9
    """Floating-point operations of projections: two for each pair of components."""
    nearest: float = 75e9
    """The same of comparisons with centroids."""
    summed: float = 150e6
    """Components added up by cells, in fixed point."""
    trained: float = 30e6
    """Row x entry x component of a product quantiser's training."""
    coded: float = 1.5e9
    """Row x entry x component compared while encoding in 4 bits."""
    coded_wide: float = 10e9
    """The same in 8 bits."""
    packed: float = 95e6
    """Bytes of codes put into cells."""
    searched: float = 70e9
    """Floating-point operations of exact search."""
    scanned: float = 0.85
    """Seconds of `pipeline.recipes.costs`: 0.5 where searches of an index take twice as long."""
    judged: float = 25e6
    """Found rows that are ordered, compared, counted by the evaluation."""
    fixed: float = 1.0
    """Seconds of what is the same for every list, a report that is drawn: 0.5 where it takes twice as long."""
    item_s: float = 0.006
    """Seconds that an item costs beside its work: scheduler, marker."""
    stage_s: float = 0.15
    """Seconds that a stage costs beside its items: listing, decisions, workers that load what they need first."""
    request_s: float = 0.0002
    """Seconds of a request to the bucket, whatever its size."""
    process: float = 138e6
    """Bytes of a worker that does nothing, its libraries loaded."""

    @property
    def kinds(self) -> Mapping[str, float]:
        """The speeds by name."""
        return {name: value for name, value in asdict(self).items() if name not in NOT_KINDS}

    def to_json(self) -> str:
        """The file that `read_rates` reads."""
        return json.dumps({"format": FORMAT, "rates": asdict(self)}, indent=1) + "\n"


NOT_KINDS = ("item_s", "stage_s", "request_s", "process")
"""Fields that are no speed."""

FORMAT = 1


def read_rates(path: Path) -> Rates:
    """What `lim plan --calibrate` wrote; the defaults where there is no file.  Raises RatesUnreadable."""
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        return Rates()
    except (OSError, ValueError) as error:
        raise RatesUnreadable(f"{path}: expected measured speeds in JSON, got {error}: {AGAIN}") from error
    known = {field.name for field in fields(Rates)}
    found = data.get("rates") if isinstance(data, dict) and data.get("format") == FORMAT else None
    if not isinstance(found, dict) or set(found) != known or not all(_is_speed(value) for value in found.values()):
        raise RatesUnreadable(
            f"{path}: expected format {FORMAT} with {len(known)} speeds above 0, got another: {AGAIN}"
        )
    return Rates(**found)


AGAIN = "remove it, or measure again with `lim plan --calibrate`"


def _is_speed(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
