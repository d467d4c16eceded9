"""Names of automatic monitors: the name of their source, a colon, and the target: "unit:nginx.service".

Names of configured monitors cannot contain a colon. Routes, maintenance windows and command lines may contain names
and patterns of automatic monitors that do not exist yet.
"""

import re

from monitord.errors import InvalidValueError

UNITS = "unit"
"""The source of the monitors of failed units."""
CONTAINERS = "container"
"""The source of the monitors of unhealthy containers."""

OBJECTIVES = "objective"
"""The names of the objectives of single monitors: "objective:shop"."""

MAX_NAME_CHARACTERS = 300
"""More than the longest name of a unit, which has 255 characters."""

_UNUSABLE = re.compile(r"[\s*?\[\]\"']")
"""Wildcards of patterns, and separators of words in commands and lists."""


def automatic_name(source: str, target: str) -> str:
    """Return the name of the monitor of a target. Raises InvalidValueError if it cannot be a name."""
    name = f"{source}:{target}"
    if not target:
        raise InvalidValueError("is empty", "name each target")
    if len(name) > MAX_NAME_CHARACTERS:
        raise InvalidValueError(
            f"results in a name of more than {MAX_NAME_CHARACTERS} characters", "use a shorter one"
        )
    if not name.isprintable() or _UNUSABLE.search(name):
        raise InvalidValueError(
            "contains whitespace, a quote, a wildcard (* ? [ ]) or a non-printable character",
            "use letters, digits and other punctuation",
        )
    return name


def monitor_of_objective(name: str) -> str | None:
    """Return "shop" for "objective:shop"; None for other names."""
    source, colon, monitor = name.partition(":")
    return monitor if colon and source == OBJECTIVES else None


def is_for_automatic_monitors(name_or_pattern: str) -> bool:
    return ":" in name_or_pattern


def full_monitor_name(name_or_pattern: str) -> str:
    """Complete the name of a unit monitor as systemctl does: "unit:nginx" is "unit:nginx.service".

    Patterns and other names are returned as they are. Raises UnitNameError.
    """
    if not name_or_pattern.startswith(f"{UNITS}:"):
        return name_or_pattern
    from monitord.systemd.unit_names import full_unit_name, is_unit_pattern  # noqa: PLC0415 - monitorctl starts at once

    unit = name_or_pattern.removeprefix(f"{UNITS}:")
    return name_or_pattern if is_unit_pattern(unit) else f"{UNITS}:{full_unit_name(unit)}"
