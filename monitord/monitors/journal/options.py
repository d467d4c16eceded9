"""Options of the type `journal`.

`unit`, `identifier` and `priority` are short forms of fields in `match`; values of the same field are alternatives.
"""

import re
from dataclasses import dataclass

from monitord.conditions.pattern.matcher import Pattern
from monitord.config import Table, value_text
from monitord.errors import InvalidValueError, problem_and_hint
from monitord.systemd.unit_names import full_unit_name

DEFAULT_WITHIN_S = 300.0
SHORTEST_WINDOW_S = 1.0
LONGEST_WINDOW_S = 366 * 86400.0
MAX_VALUES = 100

# Fields that begin with two underscores are addresses of an entry, not parts of it (systemd.journal-fields(7)).
_FIELD = re.compile(r"(?!__)[A-Z_][A-Z0-9_]{0,63}")
_PRIORITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")

Matches = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class JournalOptions:
    """A check passes if at most `at_most` entries match within `window_s`; with None, if at least one does."""

    matches: Matches
    pattern: str | None = None
    at_most: int | None = 0
    window_s: float = DEFAULT_WITHIN_S
    include_existing: bool = False


def read_journal_options(table: Table) -> JournalOptions:
    matches, pattern = _read_matches(table), table.value("pattern", _pattern, default=None)
    at_most = table.integer("at_most", default=None, minimum=0, maximum=1_000_000_000)
    within_s = table.duration("within", default=None, minimum=SHORTEST_WINDOW_S, maximum=LONGEST_WINDOW_S)
    absent_for_s = table.duration(
        "absent_for", default=None, minimum=SHORTEST_WINDOW_S, maximum=LONGEST_WINDOW_S
    )
    include_existing = table.flag("include_existing", default=False)
    names = ("match", "unit", "identifier", "priority", "pattern")
    if all(table.raw(name) is None for name in names):
        table.error("", "matches every entry of the journal", f"write at least one of {', '.join(names)}")
    if absent_for_s is None:
        return JournalOptions(matches, pattern, at_most or 0, within_s or DEFAULT_WITHIN_S, include_existing)
    for key, value in (("at_most", at_most), ("within", within_s)):
        if value is not None:
            table.error(key, "conflicts with absent_for", "write a second monitor")
    return JournalOptions(matches, pattern, None, absent_for_s, include_existing)


def _pattern(text: str) -> str:
    Pattern(text)
    return text


def _read_matches(table: Table) -> Matches:
    matches: dict[str, list[str]] = {}
    short = (("unit", "_SYSTEMD_UNIT"), ("identifier", "SYSLOG_IDENTIFIER"), ("priority", "PRIORITY"))
    for key, field in short:
        written = table.raw(key)
        if written is not None:
            matches.setdefault(field, []).extend(_values(table, key, field, written))
    match = table.raw("match")
    if match is not None and not isinstance(match, dict):
        table.error("match", f"{value_text(match)} is not a table", 'write { _SYSTEMD_UNIT = "…" }')
    for field, value in table.raw_table("match").items():
        if not _FIELD.fullmatch(field):
            table.error(
                "match",
                f"{value_text(field)} is not the name of a field",
                "write it as journalctl -o verbose shows it",
            )
            continue
        matches.setdefault(field, []).extend(_values(table, "match", field, value))
    return tuple((field, tuple(sorted(set(values)))) for field, values in sorted(matches.items()))


def _values(table: Table, key: str, field: str, written: object) -> list[str]:
    """Return the values of a field. Errors are recorded."""
    parts = written if isinstance(written, list) else [written]
    if not 0 < len(parts) <= MAX_VALUES:
        table.error(key, f"{field} has {len(parts)} values", f"write 1 to {MAX_VALUES}")
        return []
    values: list[str] = []
    for part in parts:
        try:
            if isinstance(part, bool) or not isinstance(part, (str, int)) or part == "":
                raise InvalidValueError("is neither text nor a whole number", 'write "…"')
            text = str(part)
            if field == "PRIORITY":
                first, dots, last = text.partition("..")
                ends = [_priority(first), _priority(last)] if dots else [_priority(first)]
                # As with `journalctl --priority=`, a single priority includes more important ones.
                low, high = (0 if key == "priority" and not dots else min(ends)), max(ends)
                values += [str(number) for number in range(low, high + 1)]
            else:
                values.append(full_unit_name(text) if key == "unit" else text)
        except ValueError as error:
            problem, hint = problem_and_hint(error)
            table.error(key, f"{value_text(part)} {problem}", hint)
    return values


def _priority(text: str) -> int:
    if text in _PRIORITIES:
        return _PRIORITIES.index(text)
    if text.isascii() and text.isdecimal() and int(text) < len(_PRIORITIES):
        return int(text)
    raise InvalidValueError("is not a priority", f'write 0 to 7, "0..3", or one of {", ".join(_PRIORITIES)}')
