"""Fencing tokens of leaders, `fences/{role}/{n}`: unique and growing whatever Redis remembers."""

from __future__ import annotations

from pipeline.artifact.errors import ArtifactExists, FenceTooOld
from pipeline.artifact.store import Store

BUILD = "build"
"""The role whose fence guards the index id of a head."""

KEPT = 16
"""Tokens of a role that stay; only the newest counts, but a listing of many would cost each publishing."""


def fence_key(role: str, fence: int) -> str:
    """Where a token lies."""
    return f"fences/{role}/{fence}"


def taken(store: Store, role: str) -> list[int]:
    """The tokens of a role that are still there, oldest first."""
    names = (key.rpartition("/")[2] for key in store.keys(f"fences/{role}/"))
    return sorted(int(name) for name in names if name.isascii() and name.isdecimal())


def newest_fence(store: Store, role: str) -> int:
    """The newest token of a role that was ever taken; 0 when none was."""
    return max(taken(store, role), default=0)


def take_fence(store: Store, role: str, above: int = 0, *, owner: str = "") -> int:
    """A token that nobody else gets, above `above` and above every earlier one.

    `owner` is kept in it for people.  Older tokens are removed but for the last few, the newest never is.
    """
    fence = max(above, newest_fence(store, role)) + 1
    while True:
        try:
            store.create(fence_key(role, fence), owner.encode())
        except ArtifactExists:
            fence += 1
            continue
        found = taken(store, role)
        if found[-1] == fence:
            break
        # we slept since the listing: others went on, and may have removed what stood under this number
        store.delete(fence_key(role, fence))
        fence = found[-1] + 1
    store.delete(*(fence_key(role, one) for one in found[:-KEPT]))
    return fence


def give_fence_back(store: Store, role: str, fence: int) -> None:
    """Remove a token under which nothing was done, so that it is in nobody's way."""
    store.delete(fence_key(role, fence))


def check_fence(store: Store, role: str, fence: int) -> None:
    """Raises FenceTooOld when a newer token was taken: somebody else leads by now."""
    if (newest := newest_fence(store, role)) > fence:
        raise FenceTooOld(
            f"{store.url}: expected the newest fence of the role {role!r}, which is {newest}, got {fence}: another leader "
            "has taken over, and goes on with what this one began"
        )
