"""Bodies of the manager's API, as JSON Schema."""

from __future__ import annotations

from configs.kinds import described
from configs.load import known
from manager.api.reading import MOST_IN_PAGE, USUAL_PAGE
from manager.checking import FREE, MOST_CHARACTERS, MOST_OF_NAME, MOST_OPTIONS
from manager.tasks.task import STATUSES
from manager.tasks.tasks import MOST_PRIORITY
from pipeline.web.openapi import Json


def fields(required: str, **properties: Json) -> Json:
    """An object that may have more fields in a later version."""
    return {"type": "object", "required": required.split(), "properties": properties}


def array(items: Json) -> Json:
    """A list of them."""
    return {"type": "array", "items": items}


def named(schema: str) -> Json:
    """One that the document has under this name."""
    return {"$ref": f"#/components/schemas/{schema}"}


TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer"}
NUMBER: Json = {"type": "number"}
TRUTH: Json = {"type": "boolean"}
MOMENT: Json = {"type": ["string", "null"], "format": "date-time"}
MAYBE: Json = {"type": ["number", "null"]}
CURSOR: Json = {
    "type": ["string", "null"],
    "description": "What `cursor` is for the next page; null = this is the last.",
}

ID: Json = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"}
LABEL: Json = {"type": "string", "minLength": 1, "maxLength": 200}
PRIORITY: Json = {"type": "integer", "minimum": -MOST_PRIORITY, "maximum": MOST_PRIORITY}
URL: Json = {"type": "string", "maxLength": MOST_CHARACTERS}

OPTIONS: Json = {
    key: {"type": ["string", "number", "boolean"], "description": described(setting.kind)}
    for key, setting in known().items()
    if key.startswith(FREE)
}
SUBMISSION: Json = {
    "type": "object",
    "required": ["list_id"],
    "additionalProperties": False,
    "properties": {
        "list_id": LABEL | {"description": "The label: the id of a face list, or any name of printable characters."},
        "source": URL | {"description": "Where its descriptors are; left out or empty = where source.template says."},
        "probes": URL | {"description": "Probes of its own to measure with; empty = some of the source."},
        "options": {
            "type": "object",
            "description": "Settings of build.*, quality.*, source.* and images.* for this index.",
            "maxProperties": MOST_OPTIONS,
            "additionalProperties": False,
            "properties": OPTIONS,
        },
        "priority": PRIORITY | {"default": 0, "description": "Higher goes first."},
        "task_id": ID | {"description": "Makes a repeat harmless: the same id with the same content is the same task."},
        "again": TRUTH | {"default": False, "description": "Build even what the newest index holds already."},
        "submitted_by": {"type": "string", "maxLength": MOST_OF_NAME, "default": "api", "description": "Who asks."},
    },
}
PROGRESS = fields(
    "stage items finished rows_per_s eta_s", stage=TEXT, items=WHOLE, finished=WHOLE, rows_per_s=NUMBER, eta_s=MAYBE
)
TASK = fields(
    "task_id status label source create_time start_time end_time priority attempts cancelling progress error",
    task_id=TEXT, status={"enum": list(STATUSES)}, label=TEXT, source=TEXT, probes=TEXT,
    options={"type": "object", "additionalProperties": TEXT}, priority=WHOLE,
    rows=WHOLE | {"description": "Of the source when it was submitted, of the index once it is published."},
    fingerprint=TEXT, content=TEXT, digest=TEXT, create_time=MOMENT, start_time=MOMENT, end_time=MOMENT,
    next_attempt_time=MOMENT, attempts=WHOLE,
    cancelling=TRUTH | {"description": "It was cancelled, and its build has yet to end."}, indexer=TEXT,
    progress={"oneOf": [PROGRESS, {"type": "null"}]}, error={"oneOf": [named("Error"), {"type": "null"}]},
    submitted_by=TEXT, request_id=TEXT,
)  # fmt: skip
FIGURES = fields(
    "created rows nbytes memory shards format recipe descriptor_version dim",
    created=TEXT, rows=WHOLE, nbytes=WHOLE, memory=WHOLE, mapped=WHOLE, shards=WHOLE, format=WHOLE, recipe=TEXT,
    parameters={"type": "object"}, nprobe=WHOLE, rerank=WHOLE, descriptor_version=TEXT, dim=WHOLE, forced=TRUTH,
    recall_at_10=MAYBE, added_fnir=MAYBE, added_fnir_bound=MAYBE, target=MAYBE, threshold=MAYBE, fpir=MAYBE,
    verdict=TEXT, latency_ms=MAYBE, requests_per_s=MAYBE, cost_us=MAYBE, rejected_rows=WHOLE, content_digest=TEXT,
)  # fmt: skip
HOLDERS: Json = {
    "type": "object", "additionalProperties": array(WHOLE), "description": "Shards, by the id of the matcher.",
}  # fmt: skip
INDEX = fields(
    "index_id label descriptor_version serves figures",
    index_id=TEXT, label=TEXT, descriptor_version={"type": ["string", "null"]}, serves=TRUTH, previous=TRUTH,
    figures={"oneOf": [FIGURES, {"type": "null"}], "description": "Of its report; null where its manifest cannot be read."},
    problem=TEXT, held_by=HOLDERS, loading_by=HOLDERS, missing_shards=array(WHOLE), asked=TRUTH,
)  # fmt: skip
ALARM = fields("kind text", kind=TEXT, text=TEXT, label=TEXT, matcher_id=TEXT)
LABEL_ROW = fields(
    "label index versions alarms",
    label=TEXT, index={"oneOf": [named("Index"), {"type": "null"}]}, versions=WHOLE, alarms=array(ALARM),
)  # fmt: skip
LABEL_VIEW = fields(
    "label index_id previous versions alarms",
    label=TEXT, etag=TEXT, index_id=TEXT, previous=array(TEXT), asked_index_id=TEXT, versions=array(named("Index")),
    alarms=array(ALARM),
)  # fmt: skip

BY_LABEL: Json = {"type": "object", "additionalProperties": TEXT}
PLAN = fields(
    "begin_time end_time next_time manager lists opened due counts submitted waiting resting errors problem",
    begin_time=MOMENT, end_time=MOMENT, next_time=MOMENT, manager=TEXT, lists=WHOLE, opened=WHOLE, due=WHOLE,
    counts={"type": "object", "additionalProperties": WHOLE, "description": "Entries of each kind; 200 of them are listed."},
    submitted=BY_LABEL | {"description": "Ids of new tasks, by label."},
    waiting=BY_LABEL | {"description": "Due, but this task waits or is being built."},
    resting=BY_LABEL | {"description": "Due, but left in peace for now: why."},
    errors=BY_LABEL | {"description": "What is wrong with single lists."},
    problem=TEXT | {"description": "Why the look as a whole ended early; empty = it did not."},
)  # fmt: skip

LIMIT: Json = {"type": "integer", "minimum": 1, "maximum": MOST_IN_PAGE, "default": USUAL_PAGE}
