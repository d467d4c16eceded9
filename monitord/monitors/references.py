"""Check the references between monitors: unknown names and loops. Errors are recorded in the table."""

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from monitord.config import Table, value_text
from monitord.monitors.base import MonitorSettings
from monitord.monitors.group import GroupOptions
from monitord.text import nearest

_References = Mapping[str, Mapping[str, Sequence[str]]]
"""The monitors that each monitor refers to, by configuration key."""


def check_references(monitors: Sequence[MonitorSettings], table: Table) -> None:
    """Record unknown names and loops. `table`: that of [monitors]."""
    # A monitor with errors in its table is missing in `monitors`, but others may refer to it.
    names = {*(monitor.name for monitor in monitors), *table.members()}
    for monitor in monitors:
        for key, others in _references(monitor).items():
            _check_names(table.table(monitor.name), key, others, names, monitor.name)
    named = {monitor.name: _references(monitor) for monitor in monitors}
    _check_loops(named, table, ("depends_on", "depends_on_any"), "depends on itself")
    # The references of groups, with the members that they select by tags.
    by_tags = {
        group.name: {
            **_references(group),
            "member_tags": [
                monitor.name
                for monitor in monitors
                if group.options.member_tags and set(group.options.member_tags).issubset(monitor.tags)
            ],
        }
        for group in monitors
        if isinstance(group.options, GroupOptions)
    }
    # Two groups that are members of each other would keep each other down.
    _check_loops({**named, **by_tags}, table, ("members", "member_tags"), "is a member of itself")


def check_names(table: Table, key: str, named: Iterable[str], names: Iterable[str]) -> None:
    """Record names that are not names of monitors."""
    _check_names(table, key, named, set(names), None)


def _references(monitor: MonitorSettings) -> Mapping[str, Sequence[str]]:
    members = monitor.options.members if isinstance(monitor.options, GroupOptions) else ()
    return {
        "depends_on": monitor.depends_on,
        "depends_on_any": monitor.depends_on_any,
        "members": members,
    }


def _check_names(table: Table, key: str, named: Iterable[str], names: set[str], monitor: str | None) -> None:
    for name in named:
        if name == monitor:
            table.error(key, f"{value_text(name)} is the monitor itself", "remove it")
        elif name not in names:
            near = nearest(name, names)
            table.error(
                key,
                f"{value_text(name)} is not a monitor",
                f"write {value_text(near)}" if near else "write the name of a monitor",
            )


def _check_loops(named: _References, table: Table, keys: Sequence[str], problem: str) -> None:
    """Record each loop at one of its monitors."""
    # A loop that was found is broken, to find the next loop.
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
            table.table(loop[0]).error(key, f"{problem}: {' -> '.join(loop)}", "remove a reference")
            graph[loop[0]].discard(loop[1])
        else:
            return
