"""What the pages are made from."""

from __future__ import annotations

from dataclasses import dataclass

from manager.pages.access import Access
from manager.pages.cluster import Cluster
from manager.parts import Parts


@dataclass(frozen=True, slots=True)
class PageParts:
    """Of one manager."""

    manager: Parts
    cluster: Cluster

    @property
    def access(self) -> Access:
        """Who may do what."""
        return self.manager.access

    @property
    def dashboard(self) -> str:
        """Address of the Dask dashboard; empty = there is none."""
        return self.cluster.dashboard
