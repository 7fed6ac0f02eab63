"""The parameters of the generators: two fitted to real descriptors, two made up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.sources.errors import SourceError

Floats = NDArray[np.float32]

REGIMES = ("mixture", "tree", "wide", "isotropic")
TABLES_SEED = 5
"""Level l of the tree draws its table from seed TABLES_SEED + l: the tree is the same for every seed of a generator."""

ROTATION_SEED = 11
WIDE_EXPONENT = -0.2
"""Of the variances along the principal directions of `wide`: the k-th is k ** WIDE_EXPONENT."""


class GenerateError(SourceError):
    """A generator that cannot be made; the message names option, expected, got."""


@dataclass(frozen=True, slots=True)
class Mates:
    """How similar photos of one person are."""

    quantiles: Floats
    """(257,): quantile function of the cosine between a photo and its person's centre."""
    rho: float
    """Share of the variance that photos of one person have in common: some people's photos are all good."""
    p_kin: float
    """Probability that a person is blended with another."""
    kin: tuple[float, float]
    """Smallest and largest cosine between the centres of two who are blended."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Parameters fitted to real descriptors (dim 512)."""

    basis: Floats
    """(rank, dim): directions in which people differ, transposed V."""
    shares: NDArray[np.float64]
    """(components,) summing to 1."""
    mu: Floats
    """(components, rank)"""
    sd: Floats
    """(components, rank)"""
    noise: Floats
    """(dim, dim): transposed Lw, a factor of the covariance of photos of one person."""
    tables: tuple[Floats, ...]
    """Tree: (nodes of level l, rank) per level; empty for a mixture."""
    weights: tuple[float, ...]
    """Tree: a_l per level, then a_rest; their squares sum to 1."""


@lru_cache(maxsize=2)
def _file(regime: str) -> Mapping[str, NDArray[Any]]:
    with files("pipeline.generate").joinpath(f"data/generator_{regime}.npz").open("rb") as stream:
        return dict(np.load(stream))


@lru_cache(maxsize=2)
def fitted(regime: str) -> Fitted:
    """The parameters of `mixture` or `tree`."""
    data = _file(regime)
    rank = data["V"].shape[1]
    nodes = data["lev_n"].tolist() if "lev_n" in data else []
    variances = data["lev_a2"].astype(np.float64) if nodes else np.zeros(0)
    return Fitted(
        basis=np.ascontiguousarray(data["V"].T, np.float32),
        shares=data["pi"].astype(np.float64) / data["pi"].sum(dtype=np.float64),
        mu=data["mu"].astype(np.float32),
        sd=data["sd"].astype(np.float32),
        noise=np.ascontiguousarray(data["Lw"].T, np.float32),
        tables=tuple(
            np.random.default_rng(TABLES_SEED + level).standard_normal((count, rank), np.float32)
            for level, count in enumerate(nodes)
        ),
        weights=(*np.sqrt(variances).tolist(), float(np.sqrt(1 - variances.sum()))),
    )


def mates(regime: str) -> Mates:
    """Of the regime; those made up take the mixture's."""
    data = _file(regime if regime == "tree" else "mixture")
    kin = float(data["kin_lo"]), float(data["kin_hi"])
    return Mates(data["q"].astype(np.float32), float(data["rho"]), float(data["p_kin"]), kin)


@lru_cache(maxsize=2)
def wide(dim: int) -> Floats:
    """(dim, dim): a factor of the covariance of `wide`, its axes turned at random (the same way for every seed)."""
    turned, upper = np.linalg.qr(np.random.default_rng(ROTATION_SEED).standard_normal((dim, dim)))
    turned *= np.sign(np.diag(upper))  # makes the rotation uniform, and the same on every LAPACK
    deviations = np.arange(1, dim + 1, dtype=np.float64) ** (WIDE_EXPONENT / 2)
    return np.ascontiguousarray(deviations[:, None] * turned, np.float32)
