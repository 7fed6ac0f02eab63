"""Turns requests for one index into queries, or into the errors that they get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from matcher.errors import BadDescriptor, BadRequest, MatchError, Stale, TooOld, VersionDiffers
from matcher.held import Held
from matcher.messages import Floats, Request, vector

Refusal = tuple[Request, MatchError]


@dataclass(frozen=True, slots=True)
class Job:
    """Requests that one search call answers."""

    held: Held
    requests: Sequence[Request]
    queries: Floats
    """(requests, dim) float32, unit-norm, C-contiguous."""
    size: int
    """Candidates to find for each."""
    grouped: bool = False
    """Whether candidates are people."""

    def tiles(self, most: int) -> list[Job]:
        """The same in parts of at most `most` requests."""
        if len(self.requests) <= most:
            return [self]
        cuts = range(0, len(self.requests), most)
        parts = [slice(at, at + most) for at in cuts]
        return [replace(self, requests=self.requests[part], queries=self.queries[part]) for part in parts]


def decoded(held: Held, requests: Sequence[Request], max_limit: int) -> tuple[list[Job], list[Refusal]]:
    """Jobs by how many candidates to find, rows or people, so that one that wants 1,000 does not cost all others as many."""
    refused: list[Refusal] = []
    groups: dict[tuple[int, bool], list[Request]] = {}
    for request in requests:
        try:
            size = _checked(held, request, max_limit)
        except MatchError as error:
            refused.append((request, error))
        else:
            groups.setdefault((1 << (size - 1).bit_length(), b"group_by" in request.fields), []).append(request)
    jobs = []
    for (size, grouped), group in groups.items():
        queries, good = _queries(held, group, refused)
        if good:
            jobs.append(Job(held, good, queries, size, grouped))
    return jobs, refused


def _checked(held: Held, request: Request, max_limit: int) -> int:
    """How many candidates to find; raises the MatchError that the request gets instead."""
    fields = request.fields
    size = request.limit(max_limit)
    request.threshold()
    request.number(b"ttl_ms", 0)
    if fields.get(b"index_id", held.index_id.encode()) != held.index_id.encode():
        raise Stale(f"index_id: {fields[b'index_id'][:80]!r} is asked for, {held.index_id} answers here")
    if request.number(b"min_watermark", 0) > held.index.manifest.delta_seq:
        raise TooOld(
            f"min_watermark: expected at least {request.number(b'min_watermark', 0)}, "
            f"the index reflects {held.index.manifest.delta_seq}"
        )
    version = fields.get(b"descriptor_version", b"").decode(errors="replace")
    ours = held.index.manifest.descriptor.version
    if version and ours and version != ours:
        raise VersionDiffers(f"expected descriptors of version {ours!r}, got {version!r}")
    if b"group_by" not in fields:
        return size
    if fields[b"group_by"] != b"person":
        raise BadRequest(f"group_by: expected person, got {fields[b'group_by'][:40]!r}")
    if held.index.people is None:
        raise BadRequest("group_by: the index does not know people; build it from a source with a person column")
    return size


def _queries(held: Held, requests: list[Request], refused: list[Refusal]) -> tuple[Floats, list[Request]]:
    """Unit-norm queries (n, dim) float32 of the requests that can be read."""
    dim, version = held.index.dim, held.index.manifest.descriptor.version
    blobs = [request.fields.get(b"descriptor", b"") for request in requests]
    if all(len(blob) == 4 * dim for blob in blobs):  # the usual case: one copy, which is then normalised in place
        queries = np.frombuffer(bytearray().join(blobs), "<f4").reshape(len(blobs), dim)
    else:
        vectors, readable = [], []
        for request, blob in zip(requests, blobs, strict=True):
            try:
                vectors.append(vector(blob, dim, version))
                readable.append(request)
            except MatchError as error:
                refused.append((request, error))
        requests, queries = readable, np.stack(vectors) if vectors else np.empty((0, dim), np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", queries, queries))
    good = np.isfinite(norms) & (norms > 0)
    if not good.all():
        for number in np.flatnonzero(~good):
            what = "only zeros" if norms[number] == 0 else "NaN or infinity"
            refused.append((requests[number], BadDescriptor(f"expected a finite vector that is not zero, got {what}")))
        requests = [request for request, fine in zip(requests, good, strict=True) if fine]
        queries, norms = queries[good], norms[good]
    queries /= norms[:, None]
    return queries, requests
