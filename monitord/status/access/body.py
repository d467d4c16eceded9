"""Bodies of requests: JSON objects whose keys are declared, as are the parameters of a query."""

from collections.abc import Callable, Mapping
from typing import Any

from monitord.errors import InvalidValueError, problem_and_hint
from monitord.status.access.problems import BadInput, InputError
from monitord.status.model.query import MAX_ERRORS
from monitord.text import MAX_SHOWN_CHARACTERS, did_you_mean, printable
from monitord.web import HTTPUnsupportedMediaType, Request

MAX_COMMENT_CHARACTERS = 1000
MAX_ITEMS = 1000
"""Names or tags in a list."""

# Patterns are compiled, and compared with all monitors, on the event loop.
MAX_PATTERNS = 50
MAX_ITEM_CHARACTERS = 256
"""Limit for a name, a pattern or a tag."""

Read = Callable[[object], Any]
"""Returns the value of a key. Raises InvalidValueError."""


async def read_body(
    request: Request, keys: Mapping[str, Read], required: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the values of the keys in the body; a missing body is an empty object. Raises BadInput with all errors."""
    if not await request.read():
        body: object = {}
    elif request.content_type != "application/json":
        raise HTTPUnsupportedMediaType(
            text="the body is not JSON; send it with Content-Type: application/json\n"
        )
    else:
        body = await request.json()
    if not isinstance(body, dict):
        raise BadInput([InputError("body", "is not an object", 'write {"comment": "…"}')])
    allowed = f"allowed are: {', '.join(sorted(keys)) or 'none'}"
    if len(body) > MAX_ERRORS + len(keys):
        raise BadInput([InputError("body", f"has {len(body)} keys", allowed)])
    errors = [InputError(key, "missing", f'add "{key}"') for key in required if key not in body]
    values: dict[str, Any] = {}
    for key, value in body.items():
        if key not in keys:
            # JSON can contain text that UTF-8 cannot encode: half of a surrogate pair.
            shown = key[:MAX_SHOWN_CHARACTERS].encode(errors="backslashreplace").decode()
            errors.append(InputError(shown, "unknown key", did_you_mean(key, keys) or allowed))
            continue
        try:
            values[key] = keys[key](value)
        except ValueError as error:
            errors.append(InputError(key, *problem_and_hint(error)))
    if errors:
        raise BadInput(errors)
    return values


def comment(value: object) -> str | None:
    """Return a comment in one line; None if it is empty. Raises InvalidValueError."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidValueError("is not a string", "write it in quotes")
    if len(value) > MAX_COMMENT_CHARACTERS:
        raise InvalidValueError(f"is longer than {MAX_COMMENT_CHARACTERS} characters", "shorten it")
    check_unicode(value)
    return " ".join(printable(value, keep="\n\r\t").split()) or None


def texts(value: object) -> tuple[str, ...]:
    """Return names, patterns or tags without duplicates. Raises InvalidValueError."""
    if isinstance(value, list) and len(value) > MAX_ITEMS:
        raise InvalidValueError(f"has more than {MAX_ITEMS} items", "write fewer")
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise InvalidValueError("is not a list of strings that are not empty", 'write ["…"]')
    if any(len(item) > MAX_ITEM_CHARACTERS for item in value):
        raise InvalidValueError(f"has an item of more than {MAX_ITEM_CHARACTERS} characters", "shorten it")
    for item in value:
        check_unicode(item)
    # Names and tags in the configuration have no control characters, so these select nothing; but silences are shown.
    return tuple(dict.fromkeys(printable(item) for item in value))


def check_unicode(text: str) -> None:
    """Raise InvalidValueError for a text that no response could contain."""
    try:
        text.encode()
    except UnicodeError:
        raise InvalidValueError("is not valid Unicode", "remove the unpaired surrogate") from None
