"""The manager's API as an OpenAPI 3.1 document."""

from __future__ import annotations

from manager.api import schemas
from manager.api.operations import ERRORS, PATHS
from manager.api.schemas import TEXT, named
from pipeline.web.openapi import ERROR, Json, about, content, described

DESCRIPTION = """\
Tasks, indexes and labels of a group of managers, any of which answers.  The routes of the original system are there under
their names; what it lacks is beside them.  Paths lie under /1; those of what a service says about itself (/version,
/healthcheck, /plugins, /metrics, /config, /docs) without it as well.

Lists come in pages: give `next` of one as `cursor` of the following.  An error has the body of the schema Error, whose
`error_code` is one of the table below and whose `detail` names the field, what was expected and what came.

`Luna-Request-Id` is taken if given, made if not, returned, logged, kept with the task and passed on to its build.
Where http.token is set, `Authorization: Bearer …` must carry it, or http.read_token, which reads only."""


def document(version: str) -> Json:
    """The document."""
    found = described("lim manager", version, ["/1"], {**PATHS, **_selves()})
    found["info"]["description"] = DESCRIPTION
    found["security"] = [{}, {"bearer": []}]
    found["components"] = {
        "schemas": {
            "Error": ERROR, "Task": schemas.TASK, "Index": schemas.INDEX, "Label": schemas.LABEL_VIEW,
            "Submission": schemas.SUBMISSION,
        },
        "responses": {name: _said(text) for name, (_, text) in ERRORS.items()},
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "http.token or http.read_token"}},
    }  # fmt: skip
    return found


def _said(text: str) -> Json:
    return {"description": text, "content": content(named("Error"))}


def _selves() -> Json:
    found = about()
    for path in ("/config", "/metrics", "/plugins"):
        for name in ("Unauthorised", "Forbidden"):
            found[path]["get"]["responses"][ERRORS[name][0]] = {"$ref": f"#/components/responses/{name}"}
    page = {"description": "HTML.", "content": {"text/html": {"schema": TEXT}}}
    return found | {"/docs": {"get": {"summary": "This document as a page.", "responses": {"200": page}}}}
