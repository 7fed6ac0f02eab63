"""The work folder of one build in the bucket: what stages leave for each other."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import ArtifactExists, Store
from pipeline.spec import BuildSpec


@dataclass(frozen=True, slots=True)
class Work:
    """Keys are relative to `work/{hash}/`.  Picklable; holds no state but where things are."""

    bucket: Store
    spec: BuildSpec
    prefix: str = field(init=False, repr=False)
    """Where this build's keys begin; another configuration has another hash, so it is never believed."""

    def __post_init__(self) -> None:
        # once, since every key begins with it
        object.__setattr__(self, "prefix", f"work/{self.spec.work_hash}/")

    def read(self, key: str) -> bytes:
        """The whole object; raises ArtifactMissing."""
        return self.bucket.read(self.prefix + key)

    def write(self, key: str, data: bytes | memoryview) -> None:
        """Write or overwrite a whole object."""
        self.bucket.put(self.prefix + key, (data,))

    def create_json(self, key: str, value: Any) -> Any:
        """Write a decision once: returns `value`, or what an earlier run decided."""
        try:
            self.bucket.create(self.prefix + key, json.dumps(value, sort_keys=True).encode())
        except ArtifactExists:
            return self.load_json(key)
        return value

    def keys(self, prefix: str = "") -> list[str]:
        """Keys below `prefix`, sorted, relative to the work folder."""
        cut = len(self.prefix)
        return [key[cut:] for key in self.bucket.keys(self.prefix + prefix)]

    def save(self, key: str, array: NDArray[Any]) -> None:
        """Write an array as a `.npy` object."""
        header, laid = io.BytesIO(), np.asarray(array, order="C")
        np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(laid))
        body = laid.data.cast("B") if laid.size else b""  # as it lies in memory: no copy is made of it
        self.bucket.put(self.prefix + key, (header.getbuffer(), body))

    def load(self, key: str) -> NDArray[Any]:
        """Read a `.npy` object; the array is read-only and shares the bytes that were read."""
        data = self.read(key)
        stream = io.BytesIO(data)
        np.lib.format.read_magic(stream)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        flat = np.frombuffer(data, dtype, offset=stream.tell())
        return flat.reshape(shape, order="F" if fortran else "C")

    def save_json(self, key: str, value: Any) -> None:
        """Write JSON."""
        self.write(key, json.dumps(value, sort_keys=True).encode())

    def load_json(self, key: str) -> Any:
        """Read JSON."""
        return json.loads(self.read(key))

    def census(self) -> dict[str, Any]:
        """What the census stage counted: rows kept and dropped per partition, rejects."""
        return self.load_json("census.json")  # type: ignore[no-any-return]

    def partitions(self) -> int:
        """How many partitions the source was cut into."""
        return len(self.load_json("partitions.json"))

    def total(self) -> int:
        """Rows that go into the index."""
        return int(self.census()["total"])

    def first(self, number: int) -> int:
        """Internal number of the first row of a partition."""
        return sum(self.census()["kept"][:number])

    def kept(self, number: int) -> NDArray[np.int64] | None:
        """Positions in the extracted partition that were kept; None when all were."""
        census = self.census()
        if not census["dropped"].get(str(number)):
            return None
        dropped = self.load(dropped_key(number))
        return np.delete(np.arange(census["kept"][number] + len(dropped)), dropped)

    def rows(self, number: int) -> NDArray[np.float16]:
        """Descriptors (n, d) float16 of a partition, without dropped duplicates."""
        rows, kept = self.load(f"rows/{number:05d}.npy"), self.kept(number)
        return rows if kept is None else rows[kept]

    def people(self) -> NDArray[np.int32] | None:
        """Person code of every row (total,), -1 where unknown; None when the source names no people."""
        return self.load("people.npy") if self.census()["people"] else None


def dropped_key(number: int) -> str:
    """Where the positions of a partition's dropped rows lie."""
    return f"dropped/{number:05d}.npy"
