"""The models that find a face in a photo, then describe it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import local
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipeline.sources.align import SIDE, similarity
from pipeline.sources.errors import ModelsMissing

LONGEST = 640
"""Pixels: larger photos are made smaller for the detector, whose cost grows with their area.  Crops are not."""

OVERLAP = 0.3
"""Boxes of one face that overlap more than this count once (YuNet's own default)."""

CANDIDATES = 5_000
BATCH = 32
"""Faces embedded at once by a model that takes several."""


@dataclass(frozen=True, slots=True)
class Face:
    """A face that was found, in pixels of the photo."""

    box: tuple[float, float, float, float]
    """Left, top, width, height."""
    points: NDArray[np.float64]
    """(5, 2), in the order of `align.TEMPLATE`."""

    @property
    def area(self) -> float:
        """Of the box."""
        return self.box[2] * self.box[3]


class FaceModels:
    """One detector and one embedding model, loaded once in a process."""

    def __init__(self, detect: Path, embed: Path, min_score: float, threads: int) -> None:
        """Load both; raises ModelsMissing for a file that is not such a model."""
        cv2.setNumThreads(threads)
        self._detect, self._min_score, self._own = detect, min_score, local()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(embed, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common root below it
            raise ModelsMissing(f"{embed}: expected an ONNX model that embeds faces, got: {error}") from error
        (given,), taken = self._session.get_inputs(), self._session.get_outputs()[0]
        if list(given.shape[1:]) != [3, SIDE, SIDE] or not isinstance(taken.shape[-1], int):
            raise ModelsMissing(
                f"{embed}: expected an input of (n, 3, {SIDE}, {SIDE}) and an output of (n, dim), "
                f"got {given.shape} and {taken.shape}"
            )
        self._input, self.dim = given.name, taken.shape[-1]
        self._batch = given.shape[0] if isinstance(given.shape[0], int) else BATCH
        self._detector()

    def faces(self, photo: NDArray[np.uint8]) -> list[Face]:
        """Faces in a photo (height, width, 3) BGR, the largest first."""
        height, width = photo.shape[:2]
        scale = min(1.0, LONGEST / max(height, width))
        seen = photo
        if scale < 1:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            seen = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
        detector = self._detector()
        detector.setInputSize((seen.shape[1], seen.shape[0]))
        _, rows = detector.detect(seen)
        if rows is None:
            return []
        found = [row.astype(np.float64) / scale for row in rows]
        faces = [Face(tuple(row[:4]), row[4:14].reshape(5, 2)) for row in found]
        return sorted(faces, key=lambda face: face.area, reverse=True)

    def crop(self, photo: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        """The face (112, 112, 3) BGR with its five points where the embedding model expects them."""
        aligned: NDArray[np.uint8] = cv2.warpAffine(photo, similarity(face.points), (SIDE, SIDE))
        return aligned

    def embed(self, crops: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Descriptors (n, dim) float32 of aligned crops, not normalised."""
        done = [np.empty((0, self.dim), np.float32)]
        for start in range(0, len(crops), self._batch):
            some = np.stack(crops[start : start + self._batch]).astype(np.float32)
            pixels = np.ascontiguousarray(((some - 127) / 128).transpose(0, 3, 1, 2))
            if len(pixels) < self._batch and self._fixed:
                pixels = np.concatenate([pixels, np.zeros((self._batch - len(pixels), *pixels.shape[1:]), np.float32)])
            done.append(self._session.run(None, {self._input: pixels})[0][: len(some)])
        return np.concatenate(done)

    @property
    def _fixed(self) -> bool:
        return isinstance(self._session.get_inputs()[0].shape[0], int)

    def _detector(self) -> Any:
        """The detector of this thread: it holds the size of the photo in hand, so threads cannot share one."""
        if not hasattr(self._own, "detector"):
            level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # 5.0 warns about its own default
            try:
                self._own.detector = cv2.FaceDetectorYN.create(
                    str(self._detect), "", (LONGEST, LONGEST), self._min_score, OVERLAP, CANDIDATES
                )
            except cv2.error as error:
                raise ModelsMissing(f"{self._detect}: expected a YuNet detector (ONNX), got: {error}") from error
            finally:
                cv2.utils.logging.setLogLevel(level)
        return self._own.detector


@lru_cache(maxsize=2)
def load(detect: Path, embed: Path, digest: str, min_score: float, threads: int) -> FaceModels:
    """The models of this process; `digest` keeps a replaced file from being taken for the one that was loaded."""
    return FaceModels(detect, embed, min_score, threads)


def decode(data: bytes) -> NDArray[np.uint8] | None:
    """A photo (height, width, 3) BGR, turned as its EXIF says; None when it cannot be decoded."""
    if not data:
        return None
    try:
        photo: NDArray[np.uint8] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return photo


def sha256_of(path: Path) -> str:
    """Of a file, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
