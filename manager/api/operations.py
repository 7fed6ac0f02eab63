"""Operations of the manager's API, each with what it takes, what it answers, what may go wrong."""

from __future__ import annotations

from manager.api import schemas
from manager.api.schemas import CURSOR, ID, LABEL, LIMIT, PRIORITY, TEXT, WHOLE, array, fields, named
from manager.tasks.task import STATUSES
from pipeline.web.openapi import Json, content

ERRORS = {
    "BadRequest": ("400", "26223: a field or a parameter is missing or cannot be what it is."),
    "Unauthorised": ("401", "26228: the token is missing or is not the one that was set."),
    "Forbidden": ("403", "26229: the token reads only, or the request came from where nothing may be started."),
    "NoTask": ("404", "26220: no task of this id, or it ended longer ago than manager.history_s."),
    "NoIndex": ("404", "26204: no such index."),
    "NoLabel": ("404", "26226: nothing is published for the label; 26204: it has no such index."),
    "Exists": (
        "409",
        "26201: equal content waits or is built; 26202: the newest index holds it; 26225: the id is taken.",
    ),
    "Over": ("409", "26221: the task has ended; 26201: another with its content is open."),
    "InUse": ("409", "26227: it serves, is held or is being loaded."),
    "Old": ("409", "26232: a matcher that runs cannot read it."),
    "NoRows": ("422", "26105: the source has no rows; 26223: it cannot be read."),
    "Unavailable": ("503", "26224: Redis or the bucket does not answer; a repeat is harmless."),
}


def parameter(name: str, schema: Json, text: str, where: str = "query") -> Json:
    """One of an address."""
    found: Json = {"name": name, "in": where, "schema": schema, "description": text}
    return found | {"required": True} if where == "path" else found


def operation(summary: str, answer: tuple[str, Json], errors: str, *parameters: Json, body: Json | None = None) -> Json:
    """`answer` is a status with a schema ({} = no body); `errors` are names of ERRORS."""
    status, schema = answer
    ok = {"description": summary} | ({"content": content(schema)} if schema else {})
    named = f"{errors} Unauthorised Forbidden Unavailable".split()
    found: Json = {
        "summary": summary,
        "responses": {status: ok} | {ERRORS[name][0]: {"$ref": f"#/components/responses/{name}"} for name in named},
    }
    if parameters:
        found["parameters"] = list(parameters)
    return found if body is None else found | {"requestBody": {"required": True, "content": content(body)}}


def stream(summary: str, errors: str, *parameters: Json) -> Json:
    """An operation that answers with server-sent events."""
    found = operation(summary, ("200", {}), errors, *parameters)
    found["responses"]["200"]["content"] = {"text/event-stream": {"schema": TEXT}}
    return found


MOST = parameter("limit", LIMIT, "Most entries of a page.")
PAGE = (MOST, parameter("cursor", {"type": "string", "pattern": "^[0-9]{1,9}$"}, "`next` of the page before."))
PREFIX = parameter("prefix", TEXT, "Only labels that begin so.")
OF_LABEL = parameter("label", TEXT, "Its label: where no head names the index any more, as heads remember a few.")
TASK_ID = parameter("task_id", TEXT, "Id of a task.", "path")
INDEX_ID = parameter("index_id", TEXT, "Id of an index, which is that of its task.", "path")
LABEL_NAME = parameter("label", LABEL, "The label, percent-encoded.", "path")
MOMENT: Json = {"type": "string", "format": "date-time"}

FILTERS = (
    parameter("task_ids", array(TEXT), "Only these, with commas between.") | {"style": "form", "explode": False},
    parameter("statuses", array({"enum": list(STATUSES)}), "Only in these states.")
    | {"style": "form", "explode": False},
    parameter("start_time__gte", MOMENT, "Submitted at this time or later (RFC 3339)."),
    parameter("start_time__lt", MOMENT, "Submitted before."),
    parameter("indexer", TEXT, "Built there."),
    parameter("label", TEXT, "Of this label."),
    MOST,
    parameter("cursor", TEXT, "`next` of the page before, with the same filters."),
)

TASK = ("200", named("Task"))
LABELLED = ("200", named("Label"))
QUEUE = ("200", fields("task_ids count next", task_ids=array(TEXT), count=WHOLE, next=CURSOR))
TASKS = ("200", fields("tasks next", tasks=array(named("Task")), next=CURSOR))
INDEXES = ("200", fields("indexes next", indexes=array(named("Index")), next=CURSOR))
LABELS = ("200", fields("labels count next", labels=array(schemas.LABEL_ROW), count=WHOLE, next=CURSOR))
TASK_PRIORITY = fields("priority", priority=PRIORITY) | {"additionalProperties": False}
HEAD = fields("index_id", index_id=ID) | {"additionalProperties": False}

PATHS: Json = {
    "/plan": {
        "get": operation(
            "The planner's last look at the lists of manager.lists: what was due, what became of it, what is wrong.",
            ("200", fields("plan", plan={"oneOf": [schemas.PLAN, {"type": "null"}]})), "BadRequest",
        ),
    },
    "/queue": {
        "get": operation("Tasks that wait, in the order of their turns.", QUEUE, "BadRequest", *PAGE),
    },
    "/tasks": {
        "get": operation("Tasks, the newest first.", TASKS, "BadRequest", *FILTERS),
        "post": operation(
            "Queue a list to be indexed.", ("201", fields("task_id", task_id=TEXT)), "BadRequest Exists NoRows",
            body=named("Submission"),
        ),
    },
    "/tasks/{task_id}": {
        "get": operation("A task with its progress.", TASK, "BadRequest NoTask", TASK_ID),
        "delete": operation(
            "Cancel: at once while it waits, within moments while it is built, as `cancelling` says until then.",
            TASK, "BadRequest NoTask Over", TASK_ID,
        ),
    },
    "/tasks/{task_id}/retry": {
        "post": operation(
            "Let a task that failed or was cancelled wait once more.", TASK, "BadRequest NoTask Over", TASK_ID
        ),
    },
    "/tasks/{task_id}/priority": {
        "post": operation(
            "Give a task another priority.", TASK, "BadRequest NoTask Over", TASK_ID, body=TASK_PRIORITY
        ),
    },
    "/tasks/{task_id}/events": {
        "get": stream(
            "Server-sent events: `task` with a Task, now and after each change, until it has ended.",
            "BadRequest NoTask", TASK_ID,
        ),
    },
    "/events": {
        "get": stream(
            "Server-sent events: `snapshot` with counts and the tasks that are built, then `task` with task_id, label, "
            "status, stage, items, finished… for each change, and `snapshot` again after a gap.", "BadRequest",
        ),
    },
    "/indexes": {
        "get": operation("Stored indexes: by label, the newest first.", INDEXES, "BadRequest", PREFIX, *PAGE),
    },
    "/indexes/labels": {
        "get": operation("The index of each label that serves.", INDEXES, "BadRequest", PREFIX, *PAGE),
    },
    "/indexes/{index_id}": {
        "get": operation(
            "An index with the figures of its report.", ("200", named("Index")), "BadRequest NoIndex", INDEX_ID, OF_LABEL
        ),
        "delete": operation("Remove an index for good.", ("204", {}), "BadRequest NoIndex InUse", INDEX_ID, OF_LABEL),
    },
    "/labels": {
        "get": operation("Labels by name, each with the index that serves.", LABELS, "BadRequest", PREFIX, *PAGE),
    },
    "/labels/{label}": {
        "get": operation("A label with its versions, the newest first.", LABELLED, "BadRequest NoLabel", LABEL_NAME),
    },
    "/labels/{label}/head": {
        "post": operation(
            "Let another version serve, an older or a newer one.", LABELLED, "BadRequest NoLabel Old", LABEL_NAME, body=HEAD
        ),
    },
}  # fmt: skip
