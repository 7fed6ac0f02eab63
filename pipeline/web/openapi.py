"""Parts of OpenAPI 3.1 documents that services share."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

ERROR: Json = {
    "type": "object",
    "required": ["error_code", "desc", "detail", "link"],
    "properties": {
        "error_code": {"type": "integer"},
        "desc": {"type": "string"},
        "detail": {"type": "string"},
        "link": {"type": "string"},
    },
}
HEALTH: Json = {
    "type": "object",
    "required": ["status", "problems"],
    "properties": {"status": {"enum": ["ok", "fail"]}, "problems": {"type": "array", "items": {"type": "string"}}},
}
VERSION: Json = {
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
OBJECT: Json = {"type": "object"}
TEXT: Json = {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}


def got(summary: str, schema: Json, more: Json | None = None) -> Json:
    """The operation of a GET that answers with JSON."""
    answers = {"200": {"description": summary, "content": content(schema)}}
    return {"get": {"summary": summary, "responses": answers | (more or {})}}


def failed(description: str) -> Json:
    """An answer with the body of an error."""
    return {"description": description, "content": content(ERROR)}


def content(schema: Json) -> Json:
    """JSON of this schema."""
    return {"application/json": {"schema": schema}}


def about() -> Json:
    """Paths that every service has."""
    return {
        "/version": got("The version.", VERSION),
        "/healthcheck": got(
            "Whether it is of full use.",
            HEALTH,
            {"503": {"description": "Not of full use.", "content": content(HEALTH)}},
        ),
        "/config": got("The effective settings, secrets hidden.", OBJECT),
        "/metrics": {"get": {"summary": "Metrics.", "responses": {"200": TEXT}}},
        "/plugins": got("None: recipes and sources are part of the program.", OBJECT),
        "/docs/spec": got("This document.", OBJECT),
    }


def described(title: str, version: str, servers: list[str], paths: Json) -> Json:
    """The document."""
    info = {"title": title, "version": version, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}}
    return {"openapi": "3.1.0", "info": info, "servers": [{"url": url} for url in servers], "paths": paths}
