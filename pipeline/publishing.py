"""Stage publish: the decided candidate's files in their place, the report beside them, the manifest, the head."""

from __future__ import annotations

import json
from dataclasses import asdict

from pipeline.artifact import (
    BUILD,
    ArtifactExists,
    ArtifactMissing,
    Manifest,
    check_fence,
    index_prefix,
    publish,
    read_manifest,
)
from pipeline.assemble import assemble_all, assembled, candidate_named, key_of
from pipeline.census import rejects
from pipeline.errors import BuildError, ReadersTooOld
from pipeline.evaluate import decision
from pipeline.published import final_manifest
from pipeline.spec import Terms
from pipeline.workspace import Work

REPORTS = ("report.json", "report.html")


def publish_index(work: Work, _: None) -> int:
    """Publish what `evaluate` decided for; running it again publishes the same.

    Raises FenceTooOld when another leader has taken over, ReadersTooOld when an announced matcher could not read it;
    then neither a manifest nor a head was written.
    """
    if (fence := work.spec.terms.fence) is not None:
        check_fence(work.bucket, BUILD, fence)
    decided = decision(work)
    candidate = candidate_named(work, decided.name)
    assemble_all(work, candidate)
    files = assembled(work, candidate)
    manifest = final_manifest(work, candidate, decided, [file for _, file in files])
    check_readers(manifest, work.spec.terms)
    home = index_prefix(manifest.label, manifest.index_id)
    last = {home + file.key: key_of(work, part) for part, file in files}
    for target, source in last.items():
        if source != target:
            work.bucket.copy(source, target)
    work.bucket.delete(*(key for key in work.bucket.keys(home + "shards/") if key not in last))
    lines = ((json.dumps(asdict(one)) + "\n").encode() for one in rejects(work))
    work.bucket.write_from(home + "rejects.jsonl", lines)
    for name in REPORTS:
        work.bucket.write(home + name, work.read(name))
    _publish(work, manifest)
    return manifest.count


def check_readers(manifest: Manifest, terms: Terms) -> None:
    """Raises ReadersTooOld when an announced matcher does not read the format of this index."""
    if terms.newest_format and manifest.format > terms.newest_format:
        raise ReadersTooOld(
            f"{manifest.label} {manifest.index_id}: expected format {terms.newest_format} or older, the newest that the "
            f"matcher {terms.oldest_reader!r} reads, got {manifest.format}: update that matcher, or stop it, then begin "
            "the same build again, which has only to publish; build.shards=1 gives an index of format 1, if one matcher "
            "can hold it"
        )


def _publish(work: Work, manifest: Manifest) -> None:
    """The manifest and the head; a manifest that an interrupted run left must say the same."""
    fence = work.spec.terms.fence
    try:
        publish(work.bucket, manifest, fence=fence)
    except ArtifactExists:
        found = read_manifest(work.bucket, manifest.label, manifest.index_id)
        if found.content_digest != manifest.content_digest:
            raise BuildError(
                f"{manifest.label} {manifest.index_id}: an index with this id and other contents is published: expected "
                f"digest {manifest.content_digest[:12]}, got {found.content_digest[:12]}"
            ) from None
        publish(work.bucket, found, fence=fence, written=True)


def clean_up(work: Work) -> None:
    """Remove the work folder; what tells a later run that this one has finished goes last."""
    last = ("spec.json", "done/publish/")
    keys = [key for key in work.keys("") if not key.startswith(last)]
    work.bucket.delete(*(work.prefix + key for key in keys))
    work.bucket.delete(*(work.prefix + key for key in work.keys("")))


def published(work: Work) -> Manifest | None:
    """The published manifest of this build, if it got so far."""
    try:
        return read_manifest(work.bucket, work.spec.label, work.spec.index_id)
    except ArtifactMissing:
        return None
