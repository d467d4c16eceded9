"""What monitors say of each other, held together: names that do not exist, and loops. Diagnostics go to the table."""

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from monitord.config import Table, value_text
from monitord.monitors.base import MonitorSettings
from monitord.monitors.group import GroupOptions
from monitord.text import nearest

_References = Mapping[str, Mapping[str, Sequence[str]]]
"""Whom each monitor names, by the key that says so."""


def check_references(monitors: Sequence[MonitorSettings], table: Table) -> None:
    """`table` is that of [monitors]."""
    # A monitor whose own table has a diagnostic is no monitor yet, but it is meant.
    names = {*(monitor.name for monitor in monitors), *table.members()}
    for monitor in monitors:
        for key, others in _references(monitor).items():
            _check_names(table.table(monitor.name), key, others, names, monitor.name)
    named = {monitor.name: _references(monitor) for monitor in monitors}
    _check_loops(named, table, ("depends_on", "depends_on_any"), "depends on itself")
    # Two groups that count each other hold each other down for good.
    _check_loops({**named, **_by_tags(monitors)}, table, ("members", "member_tags"), "is a member of itself")


def check_names(table: Table, key: str, named: Iterable[str], names: Iterable[str]) -> None:
    """Each name is one of a monitor."""
    _check_names(table, key, named, set(names), None)


def _references(monitor: MonitorSettings) -> Mapping[str, Sequence[str]]:
    members = monitor.options.members if isinstance(monitor.options, GroupOptions) else ()
    return {
        "depends_on": monitor.depends_on,
        "depends_on_any": monitor.depends_on_any,
        "members": members,
    }


def _by_tags(monitors: Sequence[MonitorSettings]) -> _References:
    """Groups, with the members that they have by tags as well."""
    return {
        group.name: {
            **_references(group),
            "member_tags": [
                one.name
                for one in monitors
                if group.options.member_tags and set(group.options.member_tags).issubset(one.tags)
            ],
        }
        for group in monitors
        if isinstance(group.options, GroupOptions)
    }


def _check_names(table: Table, key: str, named: Iterable[str], names: set[str], own: str | None) -> None:
    for name in named:
        if name == own:
            table.error(key, f"{value_text(name)} is the monitor itself", "leave it out")
        elif name not in names:
            near = nearest(name, names)
            table.error(
                key,
                f"{value_text(name)} is not a monitor",
                f"write {value_text(near)}" if near else "write the name of one",
            )


def _check_loops(named: _References, table: Table, keys: Sequence[str], what: str) -> None:
    """Each is found, told at one of its monitors, then broken there to look for the next."""
    graph = {
        name: others
        for name, by_key in named.items()
        if (others := {other for key in keys for other in by_key.get(key, ()) if other in named} - {name})
    }
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            loop: list[str] = error.args[1][::-1]
            first = loop.index(min(loop[:-1]))
            loop = [*loop[first:-1], *loop[: first + 1]]
            key = next(key for key in keys if loop[1] in named[loop[0]].get(key, ()))
            table.table(loop[0]).error(key, f"{what}: {' -> '.join(loop)}", "take one of them out")
            graph[loop[0]].discard(loop[1])
        else:
            return
