"""What a request may say in its body: an object of JSON whose keys are declared, as parameters of a query are."""

from collections.abc import Callable, Mapping
from typing import Any

from monitord.errors import InvalidValueError, problem_and_hint
from monitord.status.access.problems import BadInput, Failure
from monitord.status.model.query import MOST_FAILURES
from monitord.text import MAX_SHOWN_CHARACTERS, did_you_mean, printable
from monitord.web import HTTPUnsupportedMediaType, Request

MOST_TEXT = 1000
"""Characters of a comment."""

MOST_ITEMS = 1000
MOST_PATTERNS = 50
MOST_CHARACTERS = 256
"""Of a name, a pattern or a tag. Compiling a pattern and comparing with many takes time of the event loop."""

Read = Callable[[object], Any]
"""Raises InvalidValueError."""


async def read_body(
    request: Request, keys: Mapping[str, Read], required: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The values that were given. No body is an empty object. Raises BadInput with every failure."""
    if not await request.read():
        given: object = {}
    elif request.content_type != "application/json":
        raise HTTPUnsupportedMediaType(text="send the body as application/json\n")
    else:
        given = await request.json()
    if not isinstance(given, dict):
        raise BadInput([Failure("body", "is not an object", 'write {"comment": "…"}')])
    if len(given) > MOST_FAILURES + len(keys):
        raise BadInput([Failure("body", f"has {len(given)} keys", f"known are: {', '.join(sorted(keys))}")])
    failures = [Failure(key, "is missing", f'add "{key}"') for key in required if key not in given]
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in keys:
            fix = did_you_mean(key, keys) or f"known are: {', '.join(sorted(keys))}"
            # JSON can write what UTF-8 cannot: half of a surrogate pair.
            shown = key[:MAX_SHOWN_CHARACTERS].encode(errors="backslashreplace").decode()
            failures.append(Failure(shown, "unknown key", fix))
            continue
        try:
            values[key] = keys[key](value)
        except ValueError as error:
            failures.append(Failure(key, *problem_and_hint(error)))
    if failures:
        raise BadInput(failures)
    return values


def comment(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidValueError("is not text", "write it in quotes")
    if len(value) > MOST_TEXT:
        raise InvalidValueError(f"is longer than {MOST_TEXT} characters", "write less")
    _check_unicode(value)
    return " ".join(printable(value, keep="\n\r\t").split()) or None


def texts(value: object) -> tuple[str, ...]:
    if isinstance(value, list) and len(value) > MOST_ITEMS:
        raise InvalidValueError(f"has more than {MOST_ITEMS} items", "write fewer")
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise InvalidValueError("is not a list of texts", 'write ["…"]')
    if any(len(item) > MOST_CHARACTERS for item in value):
        raise InvalidValueError(
            f"has an item of more than {MOST_CHARACTERS} characters", "write shorter ones"
        )
    for item in value:
        _check_unicode(item)
    # Nothing in the configuration has such characters, so nothing is selected by them; but silences are shown.
    return tuple(dict.fromkeys(printable(item) for item in value))


def _check_unicode(text: str) -> None:
    """Raises ValueError for what no answer could ever tell."""
    try:
        text.encode()
    except UnicodeError:
        raise InvalidValueError("is not Unicode", "leave out half of a surrogate pair") from None
