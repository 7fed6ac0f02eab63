"""The API against its own OpenAPI document: what schemathesis makes up is answered as the document says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from manager_pages import World, of_its_own
from openapi_spec_validator import validate
from schemathesis import GenerationMode, openapi
from schemathesis.specs.openapi.checks import positive_data_acceptance

STREAMS = r"/events$"
"""They do not end; `test_api_events.py` has their tests."""

NARROWER = ("GET /tasks", "POST /tasks")
"""What they take a schema cannot say: sources that are there, settings with their bounds, cursors of the same filters."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with of_its_own(tmp_path_factory.mktemp("schema")) as found:
        for version in ("a", "b"):
            found.publish("people", version)
        found.submit("people")
        yield found


def ask(world: World, operation: Any, mode: GenerationMode, examples: int) -> int:
    """How many requests of an operation were made; whatever is answered in another way than documented fails."""
    count = 0
    excluded: list[Any] = [positive_data_acceptance] if operation.label in NARROWER else []

    @seed(20_261_124)
    @settings(
        max_examples=examples, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def answered(case: Any) -> None:
        nonlocal count
        count += 1
        case.call_and_validate(base_url=f"{world.url}/1", excluded_checks=excluded)

    answered()
    return count


def run(world: World, examples: int) -> int:
    """How many requests of all operations were made, those that fit the document and others."""
    found = openapi.from_url(f"{world.url}/docs/spec").exclude(path_regex=STREAMS)
    count = 0
    everything: Any = found.get_all_operations()  # of results, which are errors where the document is none
    for operation in (one.ok() for one in everything):
        count += ask(world, operation, GenerationMode.POSITIVE, examples)
        if operation.query or operation.body:
            with suppress(Unsatisfiable):  # every text is a text
                count += ask(world, operation, GenerationMode.NEGATIVE, examples)
    return count


def test_the_document_is_valid(world: World) -> None:
    spec = world.visitor.get("/docs/spec").json
    validate(spec)
    assert spec["openapi"] == "3.1.0"
    routes = {f"{method} {path}" for path, methods in spec["paths"].items() for method in methods}
    assert {"get /queue", "post /tasks", "delete /indexes/{index_id}", "post /labels/{label}/head"} <= routes


def test_a_few_requests_of_each_operation_are_answered_as_documented(world: World) -> None:
    assert run(world, 2) > 50


@pytest.mark.drill
@pytest.mark.timeout(1_200)
def test_many_requests_of_each_operation_are_answered_as_documented(world: World) -> None:
    assert run(world, 150) > 3_000
