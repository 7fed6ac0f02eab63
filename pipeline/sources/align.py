"""Where the five points of a face go: the template that embedding models expect."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 112
"""Pixels of the aligned crop, which is square."""

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float64
)
"""(5, 2) pixels: right eye, left eye, tip of the nose, right and left corner of the mouth, as seen in the photo from
left to right.  Published with ArcFace (Deng et al., CVPR 2019; `arcface_dst` of InsightFace's face_align.py)."""


def similarity(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The (2, 3) matrix of rotation, scale and shift that brings `points` (5, 2) closest to TEMPLATE.

    The closed form of least squares: S. Umeyama, "Least-squares estimation of transformation
    parameters between two point patterns", IEEE PAMI 13 (1991), equations 40 to 42.
    Raises ValueError when all points are one.
    """
    mean, target = points.mean(axis=0), TEMPLATE.mean(axis=0)
    centred = points - mean
    variance = (centred**2).sum() / len(points)
    if variance == 0:
        raise ValueError("expected five points of a face, got one point five times")
    covariance = (TEMPLATE - target).T @ centred / len(points)
    left, singular, right = np.linalg.svd(covariance)
    # A mirror image is no face: the smaller axis is turned back.
    signs = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    linear = (left * signs) @ right * ((singular * signs).sum() / variance)
    return np.column_stack([linear, target - linear @ mean])
