"""The model that mates are made by where a list has none."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.quality.arrays import Floats
from pipeline.quality.drawing import cosines, noise_shape

SHIPPED = "generator_mixture.npz"
"""Parameters whose `q` is the quantile function of a photo's cosine to its person's centre, fitted to LFW."""

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Told of the model's cosines."""


@dataclass(frozen=True, slots=True)
class Noise:
    """A mate is u = c m + sqrt(1 - c²) w of a row m of the list: see `pipeline.quality.drawing.pseudo_mates`."""

    quantiles: NDArray[np.float64]
    """Quantile function on an even grid from 0 to 1."""
    draws: int
    """c is the product of so many independent draws from it."""
    shape: Floats
    """(d, d): noise z S of standard normal z, from which w is made."""
    source: str
    """Where the model comes from, for people."""
    facts: dict[str, Any]
    """The same in numbers."""

    def cosines(self, count: int, generator: np.random.Generator) -> Floats:
        """Cosines (n,) of two photos of a person."""
        return cosines(count, self.quantiles, generator, self.draws)

    def told(self, cosine: Floats) -> dict[str, Any]:
        """The model in the numbers that a report states, with the cosines that were drawn."""
        at = np.quantile(cosine, QUANTILES) if len(cosine) else np.zeros(len(QUANTILES))
        spectrum = np.linalg.eigvalsh((self.shape.T @ self.shape).astype(np.float64))[::-1]
        return {
            "model": "u = c m + sqrt(1 - c²) w",
            "source": self.source,
            **self.facts,
            "cosine": {
                "mean": float(cosine.mean()),
                "sd": float(cosine.std()),
                "quantiles": {f"{share:g}": float(value) for share, value in zip(QUANTILES, at, strict=True)},
            },
            "noise_dimensions": effective(spectrum),
        }


def effective(spectrum: NDArray[np.float64]) -> float:
    """How many dimensions a covariance with these eigenvalues (d,) fills: (sum)² / sum of squares."""
    squares = float((spectrum**2).sum())
    return float(spectrum.sum()) ** 2 / squares if squares else 0.0


def shipped(sample: NDArray[np.floating[Any]]) -> Noise:
    """The shipped cosines, with noise of the covariance of the list's own sample (s, d)."""
    with files("pipeline.generate").joinpath(f"data/{SHIPPED}").open("rb") as stream:
        quantiles = np.load(stream)["q"]
    source = (
        "c is the product of two draws from LFW's quantile function of a photo's cosine to its person; w is normal noise "
        f"with the covariance of {len(sample):,} sampled rows of the list, made orthogonal to m and normalised"
    )
    return Noise(quantiles, 2, noise_shape(sample), source, {"calibration": None, "sampled_rows": len(sample)})
