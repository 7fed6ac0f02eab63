"""Makes views of indexes from what is known of them; reads nothing."""

from __future__ import annotations

from manager.announced import Holders
from manager.matchers import Seen
from manager.shelf import alarms
from manager.shelf.manifests import Told
from manager.shelf.rows import IndexView, LabelRow
from pipeline.artifact import Head

NOBODY = Holders()


def index_view(head: Head, index_id: str, told: Told, seen: Seen, asked: str) -> IndexView:
    """A version of the label of `head`; `asked` is where requests for the label go."""
    holders = seen.holders.get((head.label, index_id), NOBODY)
    shards = told.figures.shards if told.figures else holders.shards
    held = {shard for its in holders.held_by.values() for shard in its}
    return IndexView(
        label=head.label, index_id=index_id, serves=index_id == head.index_id, previous=head.previous[:1] == (index_id,),
        figures=told.figures, problem=told.problem, missing=told.missing, held_by=dict(holders.held_by),
        loading_by=dict(holders.loading_by), missing_shards=tuple(one for one in range(shards) if one not in held),
        asked=asked == index_id,
    )  # fmt: skip


def label_row(head: Head, view: IndexView, seen: Seen) -> LabelRow:
    """The row of a label whose head can be read."""
    found = (*alarms.of_index(view, seen), *(one for one in alarms.of_matchers(seen) if one.label == head.label))
    return LabelRow(label=head.label, index=view, versions=1 + len(head.previous), alarms=found)
