"""The indexer's HTTP as an OpenAPI 3.1 document."""

from __future__ import annotations

from typing import Any

from pipeline.web.openapi import about, content, described, failed, got

LAST = {
    "type": ["object", "null"],
    "description": "How the build before ended.  error_code: 0 published, 26103 failed, 26104 its process died, 26105 the "
    "list is empty, 26106 cancelled, 26109 killed for lack of memory.",
    "properties": {
        "index_id": {"type": "string"},
        "list_id": {"type": "string"},
        "status": {"enum": ["success", "error"]},
        "error_code": {"type": "integer"},
        "desc": {"type": "string"},
        "detail": {"type": "string"},
        "began": {"type": "number", "description": "Unix time."},
        "seconds": {"type": "number"},
        "peak_bytes": {"type": "integer"},
    },
}
STATE = {
    "type": "object",
    "required": ["state", "index_id"],
    "properties": {"state": {"enum": ["idle", "indexing"]}, "index_id": {"type": ["string", "null"]}, "last": LAST},
}
INDEX_LIST = {
    "type": "object",
    "required": ["list_id", "index_id"],
    "properties": {
        "list_id": {"type": "string", "minLength": 1, "maxLength": 200},
        "index_id": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"},
        "ef_construction": {"type": ["integer", "null"], "minimum": 1, "description": "Taken, but decides nothing."},
    },
}
EMPTY = {"type": "object", "maxProperties": 0}


def document(version: str) -> dict[str, Any]:
    """The document; paths are given without the prefix /1, under which they are as well."""
    paths = {
        "/state": got("What it builds.", STATE),
        "/index_list": {
            "post": {
                "summary": "Begin a build on this node alone.",
                "requestBody": {"required": True, "content": content(INDEX_LIST)},
                "responses": {
                    "200": {"description": "It has begun; GET /state tells the rest.", "content": content(EMPTY)},
                    "400": failed("26110: a field is missing or cannot be what it is."),
                    "409": failed("26101: a build is running; 26108: the index id is taken."),
                    "500": failed("26100: source.template is not set, or the bucket cannot be read."),
                },
            }
        },
        "/stop": {
            "post": {
                "summary": "End the build that runs, if there is one; it ends as 26106.",
                "responses": {"200": {"description": "None runs any more.", "content": content(EMPTY)}},
            }
        },
    }
    return described("lim indexer", version, ["/", "/1"], paths | about())
