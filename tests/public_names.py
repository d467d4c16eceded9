"""Every public name of monitord, collected from the code: what users write, read and program against.

    /usr/bin/python3 -m tests.public_names     write them to docs/public-names.txt

`make manual` does so. After 1.0 no name in that file changes or goes away; new names are added.
"""

import argparse
import ast
import asyncio
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any
from unittest.mock import patch

from monitord import settings
from monitord.alerts.outbox import DeliveryStatus
from monitord.cli import exit_status
from monitord.cli.command_line import actions_of, build_parser, command_parser
from monitord.cli.commands import COMMANDS
from monitord.cli.daemon.command import _parser as build_parser_of_daemon
from monitord.conditions import FieldFunction
from monitord.config import Table, read_document
from monitord.journal_events import JournalEvent
from monitord.model import Observation, Reason, State, Verdict
from monitord.monitors import MONITOR_TYPES, Monitor, MonitorSettings
from monitord.monitors.base import Tools
from monitord.net.http.response import Deviation
from monitord.notifiers import NOTIFIER_TYPES, NotificationKind, Notifier
from monitord.notifiers.base import NotifierTools
from monitord.notifiers.webhook import MONITOR_OPTIONS, WEBHOOK_OPTIONS
from monitord.public_pages.document import document_of
from monitord.sources.discovery.settings import DISCOVERY_TYPES
from monitord.status.metrics.monitors import MONITOR_METRICS
from tests.endpoint import asked, make_world
from tests.public_pages.world import usual_content
from tests.status.api.test_api import described

PACKAGE = Path(__file__).parents[1] / "monitord"
PUBLIC_NAMES = Path(__file__).parents[1] / "docs" / "public-names.txt"

HEAD = """\
# Every public name of monitord. `make manual` writes this file; a test compares it with the code.
# A name that changes here changes for users: after 1.0 names are only added.
"""


def read_public_names() -> list[str]:
    return [line for line in PUBLIC_NAMES.read_text().splitlines() if line and not line.startswith("#")]


async def public_names() -> list[str]:
    """One line for each: its kind and its name, such as "reason timeout_connect"."""
    names = [
        *(f"configuration {key}" for key in _configuration_keys()),
        *(f"command {name}" for name in _commands()),
        *(
            f"exit status {name.removeprefix('EXIT_').lower()} {number}"
            for name, number in vars(exit_status).items()
            if name.startswith("EXIT_")
        ),
        *(f"condition field {name}" for name in _condition_fields()),
        *(f"monitor type {name}" for name in MONITOR_TYPES),
        *(f"notifier type {name}" for name in NOTIFIER_TYPES),
        *(f"discovery type {name}" for name in DISCOVERY_TYPES),
        *_members("deviation", Deviation),
        *_members("verdict", Verdict),
        *_members("state", State),
        *_members("reason", Reason),
        *_members("notification kind", NotificationKind),
        *_members("delivery status", DeliveryStatus),
        *(f"journal event {event.name} {event.message_id}" for event in JournalEvent),
        *(f"journal field {name}" for name in _journal_fields()),
        *(f"environment {name}" for name in _matching(r"MONITORD_[A-Z_]+")),
        *(f"notification {name}" for name in _notification_keys()),
        *(f"metric {name}" for name in _metrics()),
        *(f"api {name}" for name in await _api()),
        *(f"page {name}" for name in _page_keys(document_of(usual_content()))),
        *(f"event {name}" for name in _events()),
        *(f"monitor plugin {name}" for name in _attributes(Monitor, MonitorSettings, Observation, Tools)),
        *(f"notifier plugin {name}" for name in _attributes(Notifier, NotifierTools)),
    ]
    return sorted(set(names))


def _page_keys(value: object, prefix: str = "") -> Iterator[str]:
    """The keys of the document page.json."""
    if isinstance(value, list):
        for item in value:
            yield from _page_keys(item, f"{prefix.removesuffix('.')}[].")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"{prefix}{key}"
            yield from _page_keys(item, f"{prefix}{key}.")


def _members(kind: str, enum: type[Enum]) -> Iterator[str]:
    return (f"{kind} {member.value}" for member in enum)


EVERY_SECTION = """
[monitors.NAME]
type = "reboot"
slo = {}
[status.tokens.NAME]
[auto.override.NAME]
[maintenance.NAME]
[reports.NAME]
[pages.NAME]
[[pages.NAME.groups]]
[notifiers.NAME]
[[discover]]
type = "file"
[discover.monitor]
type = "reboot"
[[alerts.routes]]
quiet_hours = {}
[cluster]
"""

EVERY_INNER_TABLE = """
basic_auth = {}
digest_auth = {}
dialogue = [{}]
steps = [{ name = "STEP", url = "http://host/", basic_auth = {}, digest_auth = {}, extract = { NAME = {} } }]
"""
"""Inner tables of the options of a type; a type ignores tables that it does not have."""

OWN_KEYS_OF_EXAMPLES = frozenset(
    {"monitors.NAME.grace", "defaults.grace", "defaults.renamed_from", "discover.files"}
)
"""Keys that the examples above look up where users cannot write them."""


REJECTED_BY_NOTIFIERS = {
    "webhook": {*MONITOR_OPTIONS},
    "alertmanager": {*MONITOR_OPTIONS, *WEBHOOK_OPTIONS},
    "pagerduty": {*MONITOR_OPTIONS, *WEBHOOK_OPTIONS},
    **{
        name: {*MONITOR_OPTIONS, *WEBHOOK_OPTIONS}
        for name in (
            *("slack", "mattermost", "discord", "teams", "telegram", "matrix", "ntfy", "gotify"),
            "opsgenie",
        )
    },
}
"""Keys that a notifier shares with monitors or webhooks in code, and rejects."""


def _configuration_keys() -> set[str]:
    """All keys of all sections, and the values of keys that have a list of values.

    They are those for which the readers call the getters of a configuration that has each section.
    """
    found: set[str] = set()
    choice = Table.choice

    def recorded(table: Table, key: str, options: Any, **default: Any) -> Any:
        members: Iterable[Any] = options
        values = [getattr(option, "value", option) for option in members]
        _choices.setdefault(id(table), {})[key] = [str(value) for value in values]
        _tables.append(table)
        return choice(table, key, options, **default)

    # `finish` forgets the keys of a table that has been read.
    with patch.object(Table, "choice", recorded), patch.object(Table, "finish", lambda _: None):
        found = {name for name in _keys_of_sections() if name not in OWN_KEYS_OF_EXAMPLES}
    _choices.clear()
    _tables.clear()
    return found


_choices: dict[int, dict[str, list[str]]] = {}
_tables: list[Table] = []
"""Tables that `_choices` names by their identity."""


def _keys_of_sections() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "monitord.toml")
        path.write_text(EVERY_SECTION)
        document = read_document(path)
        settings._read(document, {})
        for name, (table,) in document.root._children.items():
            yield from _keys(table, f"{name}.")
        path.write_text(EVERY_INNER_TABLE)
        for kind, types in (("monitors", MONITOR_TYPES), ("notifiers", NOTIFIER_TYPES)):
            for name in types:
                table = read_document(path).root
                types[name].read_options(table)
                common = {"type", "timeout"} | (
                    REJECTED_BY_NOTIFIERS.get(name, set()) if kind == "notifiers" else set()
                )
                yield from (
                    f"{kind}.NAME ({name}) {key}"
                    for key in _keys(table, "")
                    if key.partition(".")[0].partition(" ")[0] not in common
                )
        for name in DISCOVERY_TYPES:
            table = read_document(path).root
            DISCOVERY_TYPES[name].read_options(table)
            yield from (f"discover ({name}) {key}" for key in _keys(table, ""))


def _keys(table: Table, prefix: str) -> Iterator[str]:
    for key in table._known:
        children = table._children.get(key, [])
        inner = [name for child in children for name in _keys(child, f"{prefix}{key}.")]
        yield from inner or [prefix + key]
        yield from (f"{prefix}{key} = {value}" for value in _choices.get(id(table), {}).get(key, ()))


def _commands() -> Iterator[str]:
    yield from (f"monitord {option}" for option in _options(build_parser_of_daemon()))
    yield from (f"monitorctl {option}" for option in _options(build_parser(COMMANDS)))
    for command in COMMANDS:
        yield f"monitorctl {command.name}"
        yield from (f"monitorctl {command.name} {option}" for option in _options(command_parser(command)))


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in actions_of(parser):
        yield from action.option_strings


def _condition_fields() -> Iterator[str]:
    for type_name in MONITOR_TYPES:
        for name, kind in MONITOR_TYPES[type_name].vocabulary.fields.items():
            yield f"({type_name}) {name}{'()' if isinstance(kind, FieldFunction) else ''}"


def _trees(folder: Path = PACKAGE) -> Iterator[ast.AST]:
    for path in folder.rglob("*.py"):
        yield from ast.walk(ast.parse(path.read_text()))


def _journal_fields() -> set[str]:
    """Fields of log lines: keys of dictionaries that are called `fields`, and what `journal_fields` returns."""
    found = {name for event in JournalEvent for name in event.fields}
    for node in _trees():
        match node:
            case ast.Dict():
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "fields":
                        found |= _text_keys(value)
            case ast.Assign(targets=[ast.Name(id="fields")]) | ast.AnnAssign(target=ast.Name(id="fields")):
                found |= _text_keys(node)
            case ast.FunctionDef(name="journal_fields"):
                found |= _text_keys(node)
                # Names in tables of a field and its name in the journal.
                found |= set(map(_pattern, ast.walk(node)))
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id="fields"), slice=name)]):
                found.add(_pattern(name))
            case _:
                pass
    found |= _text_keys(ast.parse((PACKAGE / "systemd" / "log.py").read_text()))
    return {name for name in found if re.fullmatch(r"[A-Z][A-Z0-9_*]+", name)}


def _pattern(node: ast.AST) -> str:
    """A text, with * for each computed part of an f-string; empty for another expression."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_pattern(part) or "*" for part in parts)
        case _:
            return ""


def _text_keys(node: ast.AST) -> set[str]:
    return {
        key.value
        for part in ast.walk(node)
        if isinstance(part, ast.Dict)
        for key in part.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }


def _notification_keys() -> set[str]:
    """Keys of the JSON that notifiers send, which are the variables of templates as well."""
    tree = ast.parse((PACKAGE / "notifiers" / "notification.py").read_text())
    methods = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name in {"as_json", "links_json"}
    ]
    return set().union(*map(_text_keys, methods))


def _matching(pattern: str, folder: Path = PACKAGE) -> set[str]:
    return {
        node.value
        for node in _trees(folder)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(pattern, node.value)
    }


def _metrics() -> Iterator[str]:
    for metric in MONITOR_METRICS:
        yield metric.name
        yield from (f"{metric.name} {{{label}}}" for label in metric.extra)
    yield from _matching(r"monitord_[a-z_]+", PACKAGE / "status" / "metrics")


async def _api() -> list[str]:
    """Paths with their parameters, and every key of every schema."""
    async with asked(make_world()) as client:
        document = (await described(client)).document
    names = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            names.append(f"{method.upper()} {path}")
            names += (
                f"{method.upper()} {path} {parameter['name']}"
                for parameter in operation.get("parameters", ())
            )
    for name, schema in document["components"]["schemas"].items():
        names += _schema_keys(schema, name)
    return names


LISTED_VALUES = [{member.value for member in kind} for kind in (State, Verdict, Reason)]
"""Values of the API that have a line of their own."""


def _schema_keys(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    values = {value for value in schema.get("enum", ()) if value is not None}
    if values not in LISTED_VALUES:
        yield from (f"{path} = {value}" for value in values)
    for alternative in schema.get("anyOf", ()):
        yield from _schema_keys(alternative, path)
    for key, value in schema.get("properties", {}).items():
        yield f"{path}.{key}"
        yield from _schema_keys(value, f"{path}.{key}")
    if isinstance(items := schema.get("items"), Mapping):
        yield from _schema_keys(items, f"{path}[]")


EVENTS = {
    "transition": ("transition_of",),
    "incident": ("incident_of", "_incident_event"),
    "result": ("result_of", "_result_event"),
    "reload": ("reload_of",),
}
"""The functions that return the data of an event of /api/v1/events."""


def _events() -> Iterator[str]:
    functions = {}
    kinds = set()
    for file in ("model/representations.py", "api/events.py"):
        for node in ast.walk(ast.parse((PACKAGE / "status" / file).read_text())):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    functions[name] = node
                case ast.Call(func=ast.Attribute(attr="_add"), args=[ast.Constant(value=str(kind)), *_]):
                    kinds.add(kind)
                case _:
                    pass
    assert kinds == EVENTS.keys()
    for kind, names in EVENTS.items():
        for name in names:
            yield from (f"{kind}.{key}" for key in _text_keys(functions[name]))
    yield from (f"gap.{key}" for key in _text_keys(functions["_missed"]))
    changes = ast.walk(functions["on_incident"])
    yield from (
        f"incident.change = {part.value}"
        for node in changes
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["change"]
        for part in ast.walk(node.value)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )


def _attributes(*classes: type) -> Iterator[str]:
    for kind in classes:
        own: Iterable[str] = [*vars(kind), *getattr(kind, "__annotations__", {})]
        yield from (f"{kind.__name__}.{name}" for name in own if not name.startswith("_"))


if __name__ == "__main__":
    PUBLIC_NAMES.write_text(HEAD + "\n".join(asyncio.run(public_names())) + "\n")
