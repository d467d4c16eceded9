"""Migrations of stored JSON, which SQL alone cannot do. Each takes a database of its own version, in a transaction.

A released migration never changes: it uses only the names of its time.
"""

import json
import sqlite3
import zlib
from collections.abc import Mapping
from typing import Any

# Version 3: the terms of the documentation.
_KEY_PREFIXES = {"notice:": "notification:", "trouble:": "alert:", "ended-trouble:": "closed-alert:"}
_ALERT_PREFIXES = ("trouble:", "ended-trouble:")
_KEYS = {"blindness": "isolation"}
_NAMES = {
    "fate": "status",
    "said": "response",
    "trouble": "alert",
    "via": "delivered_by",
    "notice": "notification",
    "well": "holds",
    "facts": "fields",
}
_REASONS = {
    "prober_blind": "prober_isolated",
    "manager_silent": "manager_timeout",
    "journal_silent": "journal_timeout",
}
_NAMES_OF_NOTIFIER_RECORDS = {
    "at": "last_at",
    "since": "problem_since",
    "handed_to": "rerouted_to",
    "lost": "undelivered",
}
_VERDICTS = {"unsure": "inconclusive"}
_KINDS = {
    "change": "update",
    "steady": "flapping_end",
    "blind": "isolated",
    "seeing": "reconnected",
    "ended": "closed",
}
_VALUES = {
    "status": {"waiting": "queued", "given_up": "expired"},
    "kind": _KINDS,
    "verdict": _VERDICTS,
    "streak": _VERDICTS,
    "last_verdict": _VERDICTS,
    "reason": _REASONS,
}
# Values of plugins and of targets by their own names: never renamed.
_OPAQUE = frozenset({"fields", "memory"})

# Version 5: the terms of the documentation for the stored states of monitors.
_NAMES_OF_STATES = {
    "sure_at": "conclusive_at",
    "stands": "effective",
    "stands_since": "effective_since",
    "memory": "type_state",
}
_NAMES_OF_TYPE_STATES = {
    "heartbeat": {"told": "reported"},
    "unit": {
        "looked_at": "checked_at",
        "was_as_wanted": "was_as_expected",
        "unwanted_for_s": "unexpected_for_s",
    },
}

# Version 6: `unreachable` was also the name of a state, and `journal_timeout` was not the reason of a timeout.
_REASONS_OF_VERSION_5 = {
    "journal_timeout": "journal_absent",
    "redirect_refused": "redirect_rejected",
    "unreachable": "host_unreachable",
}
_OPAQUE_SINCE_VERSION_5 = frozenset({"fields", "type_state"})

# Version 7: the terms of the documentation for the stored data of two monitor types.
_NAMES_OF_TYPE_STATES_7 = {"heartbeat": {"rhythm": "schedule"}, "journal": {"place": "cursor"}}

# Version 8: `late` and `registry` are other terms of the documentation; the other names were unclear.
_REASONS_OF_VERSION_7 = {
    "prober_late": "prober_stalled",
    "prober_address": "prober_source_address",
    "process_excess": "too_many_processes",
    "process_missing": "too_few_processes",
    "registry_unavailable": "domain_query_failed",
}


def rename_terms(connection: sqlite3.Connection) -> None:
    """Rename keys and values of stored states, alerts, notifications and results. Raises sqlite3.Error.

    Text that is not JSON is unchanged; the readers skip it.
    """
    connection.executemany(
        "UPDATE OR REPLACE reasons SET name = ? WHERE name = ?", [(new, old) for old, new in _REASONS.items()]
    )
    for monitor, body in connection.execute("SELECT monitor, body FROM states").fetchall():
        connection.execute("UPDATE states SET body = ? WHERE monitor = ?", (_renamed_text(body), monitor))
    for key, body in connection.execute("SELECT key, body FROM own").fetchall():
        is_alert = isinstance(key, str) and key.startswith(_ALERT_PREFIXES)
        renamed = _renamed_alert_text(body) if is_alert else _renamed_text(body)
        connection.execute(
            "UPDATE own SET key = ?, body = ? WHERE key = ?", (_renamed_key(key), renamed, key)
        )
    rows = connection.execute("SELECT monitor, is_failure, at, body FROM records").fetchall()
    for monitor, is_failure, at_ms, body in rows:
        connection.execute(
            "UPDATE records SET body = ? WHERE monitor = ? AND is_failure = ? AND at = ?",
            (_renamed_blob(body), monitor, is_failure, at_ms),
        )


def rename_terms_of_states(connection: sqlite3.Connection) -> None:
    """Rename keys of the stored states of monitors. Raises sqlite3.Error. Text that is not JSON is unchanged."""
    _rename_keys_of_states(connection, _NAMES_OF_STATES, _NAMES_OF_TYPE_STATES)


def rename_terms_of_types(connection: sqlite3.Connection) -> None:
    """Rename keys that monitor types have stored. Raises sqlite3.Error. Text that is not JSON is unchanged."""
    _rename_keys_of_states(connection, {}, _NAMES_OF_TYPE_STATES_7)


def _rename_keys_of_states(
    connection: sqlite3.Connection, new_names: Mapping[str, str], by_type: Mapping[str, Mapping[str, str]]
) -> None:
    for monitor, body in connection.execute("SELECT monitor, body FROM states").fetchall():
        try:
            state = {new_names.get(name, name): value for name, value in json.loads(body).items()}
            names = by_type.get(str(state.get("type")))
            if names is not None and isinstance(state.get("type_state"), Mapping):
                state["type_state"] = {
                    names.get(name, name): value for name, value in state["type_state"].items()
                }
            renamed = json.dumps(state, separators=(",", ":"))
        except (AttributeError, TypeError, ValueError, RecursionError):
            continue
        connection.execute("UPDATE states SET body = ? WHERE monitor = ?", (renamed, monitor))


def rename_reasons(connection: sqlite3.Connection) -> None:
    """Rename reasons in the table and in stored JSON. Raises sqlite3.Error. Text that is not JSON is unchanged."""
    _rename_reasons(connection, _REASONS_OF_VERSION_5)


def rename_reasons_of_version_7(connection: sqlite3.Connection) -> None:
    """Rename reasons as `rename_reasons` does. Raises sqlite3.Error."""
    _rename_reasons(connection, _REASONS_OF_VERSION_7)


def _rename_reasons(connection: sqlite3.Connection, new_names: Mapping[str, str]) -> None:
    connection.executemany(
        "UPDATE OR REPLACE reasons SET name = ? WHERE name = ?",
        [(new, old) for old, new in new_names.items()],
    )
    for table, key in (("states", "monitor"), ("daemon_states", "key")):
        for name, body in connection.execute(f"SELECT {key}, body FROM {table}").fetchall():  # noqa: S608 - constants
            connection.execute(
                f"UPDATE {table} SET body = ? WHERE {key} = ?",  # noqa: S608 - constants
                (_with_reasons(body, new_names), name),
            )
    rows = connection.execute("SELECT monitor, is_failure, at, body FROM records").fetchall()
    for monitor, is_failure, at_ms, body in rows:
        try:
            renamed = zlib.compress(_with_reasons(zlib.decompress(body).decode(), new_names).encode())
        except (AttributeError, TypeError, ValueError, zlib.error):
            continue
        connection.execute(
            "UPDATE records SET body = ? WHERE monitor = ? AND is_failure = ? AND at = ?",
            (renamed, monitor, is_failure, at_ms),
        )


def _with_reasons(body: Any, new_names: Mapping[str, str]) -> Any:
    try:
        return json.dumps(_with_reason(json.loads(body), new_names), separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return body


def _with_reason(value: Any, new_names: Mapping[str, str], name: str = "") -> Any:
    if isinstance(value, str) and name == "reason":
        return new_names.get(value, value)
    if isinstance(value, list):
        return [_with_reason(item, new_names) for item in value]
    if isinstance(value, Mapping):
        return {
            key: item if key in _OPAQUE_SINCE_VERSION_5 else _with_reason(item, new_names, key)
            for key, item in value.items()
        }
    return value


def _renamed_key(key: Any) -> Any:
    if not isinstance(key, str):
        return key
    for old, new in _KEY_PREFIXES.items():
        if key.startswith(old):
            return new + key.removeprefix(old)
    return _KEYS.get(key, key)


def _renamed_text(body: Any) -> Any:
    try:
        return json.dumps(_renamed(json.loads(body)), separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return body


def _renamed_alert_text(body: Any) -> Any:
    try:
        alert = json.loads(body)
        alert["notifiers"] = {
            notifier: {
                _NAMES_OF_NOTIFIER_RECORDS.get(name, name): _KINDS.get(value, value)
                if name == "lost"
                else value
                for name, value in record.items()
            }
            for notifier, record in alert.pop("told").items()
        }
        return json.dumps(alert, separators=(",", ":"))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return body


def _renamed_blob(body: Any) -> Any:
    try:
        text = zlib.decompress(body)
    except (TypeError, zlib.error):
        return body
    renamed = _renamed_text(text)
    return zlib.compress(renamed.encode()) if isinstance(renamed, str) else body


def _renamed(value: Any) -> Any:
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    renamed: dict[str, Any] = {}
    for old, item in value.items():
        name = str(_NAMES.get(old, old))
        if name in _OPAQUE:
            renamed[name] = item
        elif isinstance(item, str):
            renamed[name] = _VALUES.get(name, {}).get(item, item)
        else:
            renamed[name] = _renamed(item)
    if "holds" in renamed and "expected" not in renamed:
        # Version 2 stored whether each condition was as it should be.
        renamed["expected"] = [True] * len(renamed["holds"])
    return renamed
