"""What can be wrong with a bucket or with what lies in it.

ArtifactError(LimError)
├── ArtifactMissing      nothing under that key
├── ArtifactExists       create-if-absent found something
├── ArtifactChanged      replace-if-unchanged found something else
├── ArtifactCorrupt      bytes that are not what the manifest or the format says
├── FormatTooNew         written by a newer version than this one reads
├── FenceTooOld          a leader that lost its leadership tried to move a head
├── StoreUnavailable     the bucket cannot be reached, read or written
│   ├── StoreBusy        it says so itself, or does not answer: the same call may work in a while
│   └── StoreFull        its disk or its quota is full
├── ConditionsIgnored    the store grants every conditional write, so that two writers would both win
├── CacheTooSmall        an index does not fit into the cache's quota
└── CacheUnavailable     the cache's folder or its disk refuses
"""

from __future__ import annotations

from configs.errors import LimError


class ArtifactError(LimError):
    """Something about the bucket or an object in it."""


class ArtifactMissing(ArtifactError):
    """Nothing lies under the key."""


class ArtifactExists(ArtifactError):
    """Create-if-absent found something under the key."""


class ArtifactChanged(ArtifactError):
    """Replace-if-unchanged found another version."""


class ArtifactCorrupt(ArtifactError):
    """Bytes that are not what the manifest or the format says."""


class FormatTooNew(ArtifactError):
    """Written in a newer format than this version reads."""


class FenceTooOld(ArtifactError):
    """The head carries a newer fence: somebody else leads by now."""


class StoreUnavailable(ArtifactError):
    """The bucket cannot be reached, read or written."""


class StoreBusy(StoreUnavailable):
    """The bucket is busy, restarting or out of reach for now; the same call may work in a while."""


class StoreFull(StoreUnavailable):
    """The disk or the quota of the bucket is full."""


class ConditionsIgnored(ArtifactError):
    """The store ignores conditional writes."""


class CacheTooSmall(ArtifactError):
    """An index does not fit into the cache's quota."""


class CacheUnavailable(ArtifactError):
    """The cache's folder or its disk refuses."""
