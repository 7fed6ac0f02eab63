"""Reads an order as it comes over HTTP."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pipeline.errors import BuildError
from pipeline.indexer.errors import BadOrder, IndexerError
from pipeline.order import Order, check_label

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OF_PATHS = re.compile(r"[/\\*?\[\]{}#%]|^\.")
"""What would lead out of the place that a template names, or to several."""


@dataclass(frozen=True, slots=True)
class IndexList:
    """The body of `POST /index_list`."""

    list_id: str
    index_id: str
    ef_construction: int | None
    """How widely the original's graph looks for neighbours.  Our recipes are chosen by measurement, so it decides nothing."""

    @classmethod
    def read(cls, body: Any) -> IndexList:
        """From parsed JSON; raises BadOrder."""
        if not isinstance(body, dict):
            raise BadOrder(f"body: expected a JSON object, got {type(body).__name__}")
        list_id, index_id, width = body.get("list_id"), body.get("index_id"), body.get("ef_construction")
        try:
            check_label(list_id if isinstance(list_id, str) else "")
        except BuildError as error:
            raise BadOrder(f"list_id: {error}") from error
        if not isinstance(index_id, str) or not _ID.fullmatch(index_id):
            raise BadOrder(f"index_id: expected up to 100 letters, digits, '.', '_' or '-', got {index_id!r}")
        if width is not None and (not isinstance(width, int) or isinstance(width, bool) or width < 1):
            raise BadOrder(f"ef_construction: expected a whole number from 1, got {width!r}")
        return cls(str(list_id), index_id, width)

    def order(self, template: str) -> Order:
        """What is to be built; raises IndexerError without a template, BadOrder for a list that it cannot name."""
        if "{label}" not in template:
            raise IndexerError(
                f"source.template: expected where the descriptors of a list are, such as s3://lists/{{label}}/*.parquet, "
                f"got {template!r}: set it for this indexer"
            )
        if _OF_PATHS.search(self.list_id):
            raise BadOrder(
                f"list_id: expected a name without / \\ * ? [ ] {{ }} # % or a leading dot, got {self.list_id!r}"
            )
        return Order(template.replace("{label}", self.list_id), self.list_id, index_id=self.index_id)
