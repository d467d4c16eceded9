"""Names of the monitors that `[auto] units` creates for failed units: "unit:nginx.service".

Names of configured monitors cannot contain a colon. Routes, maintenance windows and command lines may contain names
and patterns of unit monitors that do not exist yet.
"""

_PREFIX = "unit:"


def monitor_name_of(unit: str) -> str:
    return _PREFIX + unit


def is_for_unit_monitors(name_or_pattern: str) -> bool:
    return name_or_pattern.startswith(_PREFIX)


def full_monitor_name(name_or_pattern: str) -> str:
    """Complete the name of a unit monitor as systemctl does: "unit:nginx" is "unit:nginx.service".

    Patterns and other names are returned as they are. Raises UnitNameError.
    """
    if not is_for_unit_monitors(name_or_pattern):
        return name_or_pattern
    from monitord.systemd.unit_names import full_unit_name, is_unit_pattern  # noqa: PLC0415 - monitorctl starts at once

    unit = name_or_pattern.removeprefix(_PREFIX)
    return name_or_pattern if is_unit_pattern(unit) else monitor_name_of(full_unit_name(unit))
