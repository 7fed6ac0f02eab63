"""Fields of a form that a browser sent."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

KIND = "application/x-www-form-urlencoded"
MOST_BYTES = 64 << 10
MOST_FIELDS = 64


async def fields_of(request: Request) -> dict[str, str]:
    """Texts by name, the last of each.  Raises HTTPException for what is no form, or too large."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != KIND:
        raise HTTPException(415, f"expected the fields of a form ({KIND}), got {kind or 'nothing'}: programs use /1")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"expected a form of at most {MOST_BYTES:,} bytes, got more")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError as error:
        raise HTTPException(400, f"expected the fields of a form, got something else ({error})") from None
    return {name: value.replace("\r\n", "\n") for name, value in pairs}
