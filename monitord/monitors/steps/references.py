"""References to extracted values: `{token}` in a request is replaced by the value, encoded for its context.

`{{token}}` is the text `{token}`. Other braces have no meaning, so that JSON can be written as usual.
"""

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from urllib.parse import quote, quote_plus

from monitord.config import Secret
from monitord.options.http import HttpOptions

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
REFERENCE = re.compile(
    r"\{\{(?P<text>[A-Za-z_][A-Za-z0-9_]{0,31})\}\}|\{(?P<name>[A-Za-z_][A-Za-z0-9_]{0,31})\}"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

Encode = Callable[[str, str], str]
"""Function of the name and the value: the value encoded for its context. Raises UnusableValueError."""


class UnusableValueError(ValueError):
    """A value cannot be sent in its context. The text does not contain the value."""


def references(text: str) -> Iterator[str]:
    """Yield the names to which the text refers."""
    for match in REFERENCE.finditer(text):
        if match["name"]:
            yield match["name"]


def texts_of(options: HttpOptions, verbatim: tuple[Secret, ...]) -> Iterator[tuple[str, Secret]]:
    """Yield the texts that may refer to values, with their keys. `verbatim`: secrets that are sent as they are."""
    secrets: list[tuple[str, Secret | None]] = [
        ("url", options.url),
        *(("headers", value) for _, value in options.headers),
        ("bearer_token", options.bearer_token),
        ("json" if options.content_type is not None else "body", options.body),
        *(("form", value) for _, value in options.form or ()),
    ]
    for key, secret in secrets:
        if secret is not None and secret not in verbatim:
            yield key, secret


def expanded(options: HttpOptions, verbatim: tuple[Secret, ...], values: Mapping[str, str]) -> HttpOptions:
    """Return the options with the values in the place of their references. Raises UnusableValueError."""

    def expand(secret: Secret, encode: Encode) -> Secret:
        if secret in verbatim:
            return secret

        def value_of(match: re.Match[str]) -> str:
            name = match["name"]
            return encode(name, values[name]) if name else "{" + match["text"] + "}"

        return Secret(REFERENCE.sub(value_of, secret.reveal()))

    return replace(
        options,
        url=expand(options.url, _in_url),
        headers=tuple((name, expand(value, _in_header)) for name, value in options.headers),
        bearer_token=None if options.bearer_token is None else expand(options.bearer_token, _in_header),
        body=None if options.body is None else expand(options.body, _in_body(options)),
        form=None
        if options.form is None
        else tuple((name, expand(value, _unchanged)) for name, value in options.form),
    )


def _in_url(name: str, value: str) -> str:
    del name
    encoded = quote(value, safe="")
    # As a segment of a path, these would remove the segment before them (RFC 3986, section 5.2.4).
    return encoded.replace(".", "%2E") if encoded in {".", ".."} else encoded


def _in_header(name: str, value: str) -> str:
    if _CONTROLS.search(value):
        raise UnusableValueError(
            f"{{{name}}} contains a line break or another control character, which a header cannot have"
        )
    return value


def _unchanged(name: str, value: str) -> str:
    del name
    return value


def _in_body(options: HttpOptions) -> Encode:
    """Return the encoding for the content type of the body; without one the value is sent unchanged."""
    headers = {name.lower(): value.reveal() for name, value in options.headers}
    media_type = headers.get("content-type", options.content_type or "").partition(";")[0].strip().lower()
    if media_type.endswith(("/json", "+json")):
        return lambda _, value: json.dumps(value)[1:-1]
    if media_type == "application/x-www-form-urlencoded":
        return lambda _, value: quote_plus(value)
    if media_type.endswith(("/xml", "+xml", "/html")):
        return lambda _, value: html.escape(value)
    return _unchanged
