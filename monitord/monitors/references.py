"""What monitors say of each other, held together: names that do not exist, and loops. Faults go to the table."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter

from monitord.config import Table, value_text
from monitord.monitors.base import MonitorSettings
from monitord.monitors.group import GroupOptions


def check_references(monitors: Sequence[MonitorSettings], table: Table) -> None:
    """`table` is that of [monitors]."""
    by_name = {monitor.name: monitor for monitor in monitors}
    # A monitor whose own table has a fault is no monitor yet, but it is meant.
    names = {*by_name, *table.members()}
    for monitor in monitors:
        for key, others in _references(monitor).items():
            _check_names(table.table(monitor.name), key, others, names, monitor.name)
    _check_loops(by_name, table, ("depends_on", "depends_on_any"), "depends on itself")
    _check_loops(by_name, table, ("members",), "is a member of itself")


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


def _check_names(table: Table, key: str, named: Iterable[str], names: set[str], own: str | None) -> None:
    for name in named:
        if name == own:
            table.fault(key, f"{value_text(name)} is the monitor itself", "leave it out")
        elif name not in names:
            near = get_close_matches(name, names, n=1)
            table.fault(
                key,
                f"{value_text(name)} is not a monitor",
                f"write {value_text(near[0])}" if near else "write the name of one",
            )


def _check_loops(
    by_name: Mapping[str, MonitorSettings], table: Table, keys: Sequence[str], what: str
) -> None:
    """Each is found, told at one of its monitors, then broken there to look for the next."""
    graph = {
        name: {
            other for key in keys for other in _references(monitor)[key] if other in by_name and other != name
        }
        for name, monitor in by_name.items()
    }
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            loop: list[str] = error.args[1][::-1]
            first = loop.index(min(loop[:-1]))
            loop = [*loop[first:-1], *loop[: first + 1]]
            key = next(key for key in keys if loop[1] in _references(by_name[loop[0]])[key])
            table.table(loop[0]).fault(key, f"{what}: {' -> '.join(loop)}", "take one of them out")
            graph[loop[0]].discard(loop[1])
        else:
            return
