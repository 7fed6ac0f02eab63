"""The API's document, for programs as it is, for people as a page."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.metadata import version as installed
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from manager.api.openapi import document
from manager.errors import TaskError
from manager.parts import Parts
from pipeline.indexer.errors import DESCRIPTIONS
from pipeline.pages.rendering import part, policy
from pipeline.web.templates import templates


async def spec(_: Request, __: Parts) -> Response:
    """This interface as an OpenAPI document."""
    return JSONResponse(document(installed("lim")))


async def page(_: Request, __: Parts) -> Response:
    """The same for a person."""
    return HTMLResponse(_page(), headers={"Content-Security-Policy": policy(), "X-Content-Type-Options": "nosniff"})


@cache
def _page() -> str:
    environment = templates("manager.api")
    spec = document(installed("lim"))
    return environment.get_template("docs.html.j2").render(
        spec=spec,
        style=part("style.css"),
        operations=list(_operations(spec)),
        codes=codes(),
        shape=shape,
        properties=properties,
        anchor=lambda path: path.strip("/").translate(str.maketrans("/", "-", "{}")) or "root",
    )


def codes() -> dict[int, tuple[str, int | None]]:
    """What each code means, with the status of answers that carry it; None for ends of builds."""
    found: dict[int, tuple[str, int | None]] = {code: (text, None) for code, text in DESCRIPTIONS.items()}
    classes = [TaskError]
    while classes:
        one = classes.pop()
        classes += one.__subclasses__()
        if one.error_code not in DESCRIPTIONS:
            found.setdefault(one.error_code, (one.desc, one.status))
    return dict(sorted(found.items()))


def _operations(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each with what `$ref` of its answers stands for."""
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            answers = {
                status: spec["components"]["responses"][one["$ref"].rsplit("/", 1)[-1]] if "$ref" in one else one
                for status, one in sorted(operation["responses"].items())
            }
            yield {"parameters": [], "requestBody": None, **operation} | {
                "path": path, "method": method.upper(), "answers": answers,
            }  # fmt: skip


def shape(schema: dict[str, Any]) -> str:
    """A schema in a few words: `string`, `array of Task`, `integer from 1 to 1000`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "oneOf" in schema:
        return " or ".join(shape(one) for one in schema["oneOf"])
    kind = schema.get("type", "anything")
    kind = " or ".join(kind) if isinstance(kind, list) else kind
    if kind == "array":
        return f"array of {shape(schema['items'])}"
    bounds = [f"{word} {schema[name]:,}" for word, name in (("from", "minimum"), ("to", "maximum")) if name in schema]
    return " ".join([schema.get("format", kind), *bounds])


def properties(schema: dict[str, Any], spec: dict[str, Any]) -> list[tuple[str, dict[str, Any], bool]]:
    """The fields of an object, each with its schema and whether it must be there."""
    found = spec["components"]["schemas"][shape(schema)] if "$ref" in schema else schema
    needed = found.get("required", [])
    return [(name, one, name in needed) for name, one in found.get("properties", {}).items()]
