"""Handlers of the form that submits a list."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.responses import Response

from configs.settings import Settings
from manager.checking import Unfit, checked
from manager.errors import AlreadyIndexed, NoSuchTask, TaskError, TaskExists
from manager.pages.asking import Asked
from manager.submitting import Submission
from manager.tasks.task import Task
from pipeline.pages.orders import RECIPES, Refused, options_of

FIELDS = ("label", "source", "probes", "recipe", "shards", "priority", "options", "again", "submitted_by")

OF_FIELDS = {"build.recipe": "recipe", "build.shards": "shards"}
"""Settings that have a field of their own."""


async def show(asked: Asked) -> Response:
    """GET /submit: `?label=` or `?again=TASK` fill it in."""
    if not asked.frame.may_write:
        raise HTTPException(403, "what you may do here is read: log in with the token that is set as http.token, or come from "
                                 "the manager's own machine where none is set")  # fmt: skip
    fields = {"label": asked.query("label")}
    if again := asked.query("again"):
        try:
            fields = fields_of(await asked.parts.manager.tasks.get(again))
        except NoSuchTask:
            fields = {}  # forgotten meanwhile: the form stays empty
    return _form(asked, fields, {}, 200)


async def take(asked: Asked) -> Response:
    """POST /submit: on to the build, or the form again with what is wrong beside each field."""
    fields = {name: asked.fields.get(name, "").strip() for name in FIELDS}
    request_id = str(asked.request.scope.get("request_id", ""))
    try:
        wanted, errors = submission_of(fields, request_id)
        if errors:
            return _form(asked, fields, all_wrong(wanted, errors, asked.parts.manager.settings), 422)
        task = await asked.parts.manager.submit(wanted)
    except Unfit as error:
        return _form(asked, fields, error.errors, 422)
    except (TaskExists, AlreadyIndexed) as error:
        return _form(asked, fields, {}, error.status, error)
    except TaskError as error:
        return _form(asked, fields, {_field_of(str(error)): str(error)}, error.status)
    return asked.go(f"builds/{task.task_id}")


def submission_of(fields: Mapping[str, str], request_id: str = "") -> tuple[Submission, dict[str, str]]:
    """What the form asks for, with what cannot be read at all by field."""
    errors, options = dict[str, str](), dict[str, str]()
    try:
        options = options_of(fields["options"])
    except Refused as error:
        errors |= error.errors
    for key, name in OF_FIELDS.items():
        if fields[name] and key in options:
            errors[name] = f"{name}: expected it here or as {key} among the options, got both"
        elif fields[name]:
            options[key] = fields[name]
    priority = 0
    try:
        priority = int(fields["priority"] or "0")
    except ValueError:
        errors["priority"] = f"priority: expected a whole number, higher ones go first, got {fields['priority']!r}"
    wanted = Submission(
        label=fields["label"], source=fields["source"], probes=fields["probes"], options=options, priority=priority,
        again=bool(fields["again"]), request_id=request_id, submitted_by=fields["submitted_by"] or "page",
    )  # fmt: skip
    return wanted, errors


def all_wrong(wanted: Submission, errors: dict[str, str], settings: Settings) -> dict[str, str]:
    """What cannot be read, with what is wrong about the rest: a person mends it all at once."""
    try:
        checked(wanted, settings)
    except Unfit as error:
        return error.errors | errors
    return errors


def fields_of(task: Task) -> dict[str, str]:
    """The form that would ask for a task once more."""
    free = "\n".join(f"{key}={value}" for key, value in task.options.items() if key not in OF_FIELDS)
    own = {name: task.options.get(key, "") for key, name in OF_FIELDS.items()}
    return {
        "label": task.label, "source": task.source, "probes": task.probes, "priority": str(task.priority), "options": free, **own,
    }  # fmt: skip


def _field_of(said: str) -> str:
    """The field that a message names, as all do that come of a look at the source."""
    name = said.partition(":")[0]
    return {"calibration": "options"}.get(name, name)


def _form(asked: Asked, fields: Mapping[str, str], errors: dict[str, str], status: int,
          known: TaskExists | AlreadyIndexed | None = None) -> Response:  # fmt: skip
    errors = {_of_own(name, text): text for name, text in errors.items()}
    settings = asked.parts.manager.settings
    return asked.page(
        "submit.html.j2", status=status, fields=dict.fromkeys(FIELDS, "") | dict(fields), errors=errors, recipes=RECIPES,
        place=settings.source.template, bucket=settings.storage.bucket, known=known,
        exists=isinstance(known, TaskExists),
    )  # fmt: skip


def _of_own(name: str, text: str) -> str:
    """Settings with a field of their own are told of there, although they travel as options."""
    found = [field for key, field in OF_FIELDS.items() if name == "options" and f"{key}:" in text]
    return found[0] if found else name
