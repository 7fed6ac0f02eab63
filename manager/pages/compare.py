"""Handler of the page that shows two versions side by side."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from manager.errors import NoSuchLabel
from manager.pages.asking import Asked
from manager.pages.comparing import Comparison, compared
from manager.pages.versions import VersionView, versions_of
from pipeline.artifact import ArtifactError
from pipeline.quality.reading import read_report


async def show(asked: Asked) -> Response:
    """GET /compare: without versions, what serves with the one before; without a label, a form."""
    name = asked.query("label")
    versions, problem = list[VersionView](), ""
    if name:
        try:
            view = await asked.parts.manager.shelf.label(name)
        except NoSuchLabel as error:
            problem = str(error)
        else:
            versions = [one for one in versions_of(view) if one.index.figures is not None]
    before, after = _chosen(asked, versions)
    found: Comparison | None = None
    if before and after and before is not after:
        try:
            found = await asyncio.to_thread(_read, asked, name, before.index.index_id, after.index.index_id)
        except ArtifactError as error:
            problem = f"their figures cannot be compared: {error}"
    elif name and not problem:
        problem = _why_not(asked, versions, before, after)
    return asked.page(
        "compare.html.j2", status=404 if name and not versions else 200, label=name, versions=versions, before=before,
        after=after, found=found, problem=problem,
    )  # fmt: skip


def _chosen(asked: Asked, versions: list[VersionView]) -> tuple[VersionView | None, VersionView | None]:
    """What is asked for; else what serves, compared with the newest version that was built before it."""
    named = {one.index.index_id: one for one in versions}
    given = [asked.query(name) for name in ("before", "after")]
    serving = next((one for one in versions if one.index.serves), None)
    after = named.get(given[1]) if given[1] else serving
    older = [one for one in versions if after and one.created < after.created]
    others = older or [one for one in versions if one is not after]
    before = named.get(given[0]) if given[0] else next(iter(others), None)
    return before, after


def _why_not(asked: Asked, versions: list[VersionView], before: VersionView | None, after: VersionView | None) -> str:
    for name, one in (("before", before), ("after", after)):
        if asked.query(name) and one is None:
            return f"{name}: there is no version {asked.query(name)} whose manifest can be read"
    if len(versions) < 2:
        return "there is one version only: build the label again for a second one to compare with"
    return "choose two different versions"


def _read(asked: Asked, label: str, before: str, after: str) -> Comparison:
    return compared(*(read_report(asked.parts.manager.store, label, one) for one in (before, after)))
