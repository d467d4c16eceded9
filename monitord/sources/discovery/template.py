"""Templates of monitors: placeholders in the texts of [discover.monitor], such as `{host}` and `{labels.env}`.

A placeholder is replaced by the text of the target and nothing else: the result is not searched for placeholders, an
argument of a command remains one argument, and there is no shell. `{{host}}` is the text "{host}".
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from monitord.config import SECRET_SOURCES
from monitord.errors import InvalidValueError
from monitord.text import did_you_mean

PLACEHOLDER = re.compile(r"\{\{([A-Za-z_][\w.-]*)\}\}|\{([A-Za-z_][\w.-]*)\}")

ADDRESS_PLACEHOLDERS = ("address", "host", "port")
LABEL_PREFIX = "labels."
META_PREFIX = "__"

Values = Mapping[str, str]
"""The texts of a target by placeholder."""


def placeholders(value: object) -> Iterator[str]:
    """Yield the placeholders in all texts of a value."""
    if isinstance(value, str):
        yield from (match[2] for match in PLACEHOLDER.finditer(value) if match[2] is not None)
    elif isinstance(value, list):
        for item in value:
            yield from placeholders(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from placeholders(item)


def check_placeholders(value: object) -> None:
    """Check the placeholders. Raises InvalidValueError if one is unknown or selects a secret."""
    if any(any(placeholders(source)) for source in _secret_sources(value)):
        # Otherwise, the provider of the targets could read any file or variable of the daemon, because the targets also
        # select the address to which the secret is sent.
        raise InvalidValueError(
            "has a placeholder in the source of a secret",
            "write the name of the credential, file or variable without placeholders",
        )
    for name in placeholders(value):
        if name not in ADDRESS_PLACEHOLDERS and not name.startswith((LABEL_PREFIX, META_PREFIX)):
            near = did_you_mean(name, ADDRESS_PLACEHOLDERS)
            raise InvalidValueError(
                f"has the unknown placeholder {{{name}}}",
                near
                or f"write {{address}}, {{host}}, {{port}} or {{labels.NAME}}; for text write {{{{{name}}}}}",
            )


def _secret_sources(value: object) -> Iterator[object]:
    """The tables in a value that have the form of a secret: { file = "/path" }."""
    if isinstance(value, dict):
        if len(value) == 1 and value.keys() <= set(SECRET_SOURCES):
            yield value
        for item in value.values():
            yield from _secret_sources(item)
    elif isinstance(value, list):
        for item in value:
            yield from _secret_sources(item)


def uses_labels(value: object) -> bool:
    return any(name not in ADDRESS_PLACEHOLDERS for name in placeholders(value))


def rendered(text: str, values: Values) -> str:
    """Replace the placeholders of a text. Raises InvalidValueError for a value that is missing or cannot be used."""

    def replace(match: re.Match[str]) -> str:
        if match[2] is None:
            return f"{{{match[1]}}}"
        name = match[2]
        value = values.get(name)
        if name == "address" and not value:
            raise InvalidValueError("the target has no address")
        if value is None and name in {"host", "port"}:
            raise InvalidValueError(f"the address has no {name}")
        if value is None:
            raise InvalidValueError(f"the target has no label {name.removeprefix(LABEL_PREFIX)}")
        if not value.isprintable():
            raise InvalidValueError(f"{name} contains a control character or an invisible character")
        return value

    return PLACEHOLDER.sub(replace, text) if "{" in text else text


def rendered_monitor(template: Mapping[str, Any], values: Values) -> dict[str, Any]:
    """Return the keys of the monitor of a target. Raises InvalidValueError."""
    return MonitorTemplate(template).rendered(values)


class MonitorTemplate:
    """A template for many monitors. Values without placeholders are shared between the monitors, not copied."""

    def __init__(self, template: Mapping[str, Any]) -> None:
        self._constant = {key: value for key, value in template.items() if not _has_brace(value)}
        self._tags: list[tuple[Any, tuple[str, ...]]] | None = None
        """The tags, each with its placeholders; None if they are the same for all targets."""
        self._command: list[Any] | None = None
        self._others: dict[str, Any] = {}
        for key, value in template.items():
            if key in self._constant:
                continue
            if key == "tags" and isinstance(value, list):
                self._tags = [(tag, tuple(placeholders(tag))) for tag in value]
            elif key == "command" and isinstance(value, list):
                self._command = value
            else:
                self._others[key] = value

    def rendered(self, values: Values) -> dict[str, Any]:
        """Return the keys of the monitor of a target. Raises InvalidValueError."""
        keys = self._constant | {key: _rendered(value, values) for key, value in self._others.items()}
        if self._tags is not None:
            # Tags whose label is missing or empty are omitted.
            keys["tags"] = [
                _rendered(tag, values)
                for tag, names in self._tags
                if not isinstance(tag, str) or all(map(values.get, names))
            ]
        if self._command is not None:
            keys["command"] = []
            for argument in self._command:
                result = _rendered(argument, values)
                if isinstance(argument, str) and isinstance(result, str) and result.startswith("-"):
                    first = PLACEHOLDER.match(argument)
                    if first is not None and first[2] is not None:
                        raise InvalidValueError(
                            f'{first[2]} begins with "-", which the program would treat as an option'
                        )
                keys["command"].append(result)
        return keys


def _has_brace(value: object) -> bool:
    if isinstance(value, str):
        return "{" in value
    if isinstance(value, dict):
        return any(map(_has_brace, value.values()))
    return isinstance(value, list) and any(map(_has_brace, value))


def _rendered(value: Any, values: Values) -> Any:
    if isinstance(value, str):
        return rendered(value, values)
    if isinstance(value, list):
        return [_rendered(item, values) for item in value]
    if isinstance(value, dict):
        return {key: _rendered(item, values) for key, item in value.items()}
    return value
