"""The indexer's HTTP as an OpenAPI 3.1 document."""

from __future__ import annotations

from typing import Any

ERROR = {
    "type": "object",
    "required": ["error_code", "desc", "detail", "link"],
    "properties": {
        "error_code": {"type": "integer"},
        "desc": {"type": "string"},
        "detail": {"type": "string"},
        "link": {"type": "string"},
    },
}
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
HEALTH = {
    "type": "object",
    "required": ["status", "problems"],
    "properties": {"status": {"enum": ["ok", "fail"]}, "problems": {"type": "array", "items": {"type": "string"}}},
}
VERSION = {
    "type": "object",
    "required": ["Version"],
    "properties": {
        "Version": {
            "type": "object",
            "required": ["api", "major", "minor", "patch"],
            "properties": {name: {"type": "integer"} for name in ("api", "major", "minor", "patch")},
        }
    },
}
OBJECT = {"type": "object"}
TEXT = {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}


def document(version: str) -> dict[str, Any]:
    """The document; paths are given without the prefix /1, under which they are as well."""
    paths = {
        "/state": _get("What it builds.", STATE),
        "/index_list": {
            "post": {
                "summary": "Begin a build on this node alone.",
                "requestBody": {"required": True, "content": _json(INDEX_LIST)},
                "responses": {
                    "200": {"description": "It has begun; GET /state tells the rest.", "content": _json(EMPTY)},
                    "400": _error("26110: a field is missing or cannot be what it is."),
                    "409": _error("26101: a build is running; 26108: the index id is taken."),
                    "500": _error("26100: source.template is not set, or the bucket cannot be read."),
                },
            }
        },
        "/stop": {
            "post": {
                "summary": "End the build that runs, if there is one; it ends as 26106.",
                "responses": {"200": {"description": "None runs any more.", "content": _json(EMPTY)}},
            }
        },
        "/version": _get("The version.", VERSION),
        "/healthcheck": _get("Whether it is of full use.", HEALTH, {"503": {"description": "Not of full use.", "content": _json(HEALTH)}}),
        "/config": _get("The effective settings, secrets hidden.", OBJECT),
        "/metrics": {"get": {"summary": "Metrics.", "responses": {"200": TEXT}}},
        "/plugins": _get("None.", OBJECT),
        "/docs/spec": _get("This document.", OBJECT),
    }  # fmt: skip
    info = {"title": "lim indexer", "version": version, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}}
    return {"openapi": "3.1.0", "info": info, "servers": [{"url": "/"}, {"url": "/1"}], "paths": paths}


def _get(summary: str, schema: dict[str, Any], more: dict[str, Any] | None = None) -> dict[str, Any]:
    answers = {"200": {"description": summary, "content": _json(schema)}}
    return {"get": {"summary": summary, "responses": answers | (more or {})}}


def _error(description: str) -> dict[str, Any]:
    return {"description": description, "content": _json(ERROR)}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
