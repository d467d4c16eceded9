"""Permitted imports: docs/architecture.md, "Import layers". Change that table in the same commit as this file.

A module imports from lower floors or from its own room. Imports within functions and under TYPE_CHECKING count:
what is imported late is still known.
"""

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import monitord

PACKAGE = Path(monitord.__file__).parent

FLOORS = {
    0: {"errors"},
    1: {"units", "clock", "calendar_events", "paths", "container", "text", "web", "systemd"},
    2: {"model", "config", "net", "journal_events", "unit_monitors"},
    3: {"conditions", "health", "history"},
    4: {"journal", "options"},
    5: {"monitors", "notifiers"},
    6: {"alerts", "dispatch"},
    7: {"bridges"},
    8: {"settings", "status"},
    9: {"control", "interventions"},
    10: {"application"},
    11: {"daemon"},
    12: {"cli", "__main__"},
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}

# Only these rooms may know a library, each those of its own trade.
LIBRARIES = {
    "web": {"httptools", "multidict", "yarl"},
    "systemd": {"systemd"},
    "config": {"tomli"},
    "journal": {"systemd"},
    "net": {
        "aiohttp",
        "aiosmtplib",
        "brotli",
        "dbus_fast",
        "dns",
        "icmplib",
        "multidict",
        "systemd",
        "yarl",
        "zstandard",
    },
    "notifiers": {"jinja2"},
    "status": {"jinja2", "prometheus_client"},
    "cli": {"tomli", "uvloop"},
}

# monitorctl is asked often and answers at once: all of it but these knows nothing of what the daemon is made of.
SLOW = {
    "cli.daemon",
    "cli.daemon.command",
    "cli.daemon.service_user",
    "cli.daemon.turned_away",
    "cli.output.probe_view",
    "cli.probe",
    "cli.start",
}
QUICK_FLOOR = 2


def module_name(package: Path, file: Path) -> str:
    """ "web.request" for web/request.py, "web" for its __init__, "" for that of the package."""
    parts = file.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(package: Path, file: Path) -> Iterator[str]:
    """Absolute names: what is imported from a package is one of its modules where there is such a file."""
    inside = [package.name, *file.relative_to(package).parent.parts]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*inside[: len(inside) - node.level + 1]] if node.level else []
            base += node.module.split(".") if node.module else []
            for alias in node.names:
                inner = package.parent.joinpath(*base, alias.name)
                is_module = inner.with_suffix(".py").exists() or (inner / "__init__.py").exists()
                yield ".".join([*base, alias.name] if is_module else base)


def broken_rules(package: Path) -> list[str]:
    broken = []
    known: dict[str, set[str]] = {}
    for file in sorted(package.rglob("*.py")):
        name = module_name(package, file)
        room = name.partition(".")[0]
        known[name] = set()
        if room and room not in FLOOR_OF:
            broken.append(f"{name}: the room {room} has no floor")
            continue
        for imported in imports(package, file):
            top, _, inner = imported.partition(".")
            if top == package.name:
                known[name].add(inner)
                if not may_know(name, inner):
                    broken.append(f"{name} may not know {inner}")
            elif top not in sys.stdlib_module_names and top not in LIBRARIES.get(room, set()):
                broken.append(f"{name} may not know the library {top}")
    return broken + [f"in a loop: {' -> '.join(loop)}" for loop in loops(known)]


def loops(known: dict[str, set[str]]) -> Iterator[list[str]]:
    """Each is found, then broken at one place to look for the next."""
    while True:
        try:
            TopologicalSorter(known).prepare()
        except CycleError as error:
            known_by: list[str] = error.args[1]
            known[known_by[1]].remove(known_by[0])
            knows = known_by[:0:-1]
            first = knows.index(min(knows))
            yield [*knows[first:], *knows[: first + 1]]
        else:
            return


def may_know(name: str, other: str) -> bool:
    """The package itself ("") holds the version, which anyone may know."""
    room, other_room = name.partition(".")[0], other.partition(".")[0]
    if not other_room:
        return True
    if other_room not in FLOOR_OF or not room:
        return False
    if name == "__main__":
        return other_room == "cli"
    if room == "cli" and name not in SLOW:
        return (other_room == "cli" and other not in SLOW) or FLOOR_OF[other_room] <= QUICK_FLOOR
    return room == other_room or FLOOR_OF[other_room] < FLOOR_OF[room]


def test_every_module_knows_only_the_floors_below() -> None:
    assert broken_rules(PACKAGE) == []


def test_the_document_shows_the_same_floors() -> None:
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ((?:`\w+`(?:, )?)+)", text, re.MULTILINE)
    assert {int(floor): set(re.findall(r"\w+", rooms)) for floor, rooms in rows} == FLOORS


def test_no_room_of_the_table_is_gone() -> None:
    assert [room for room in FLOOR_OF if not list(PACKAGE.glob(f"{room}*"))] == []


RULES = [
    pytest.param({"net/a.py": "import monitord.config"}, ["net.a may not know config"], id="same floor"),
    pytest.param(
        {"model.py": "from monitord import daemon", "daemon.py": ""},
        ["model may not know daemon"],
        id="above",
    ),
    pytest.param({"web/a.py": "def late():\n    import monitord.cli"}, ["web.a may not know cli"], id="late"),
    pytest.param(
        {
            "health/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from monitord.dispatch import x"
        },
        ["health.a may not know dispatch"],
        id="for types",
    ),
    pytest.param(
        {"health/a.py": "from ..monitors.b import c", "monitors/b.py": ""},
        ["health.a may not know monitors.b"],
        id="relative",
    ),
    pytest.param({"units.py": "import aiohttp"}, ["units may not know the library aiohttp"], id="library"),
    pytest.param({"attic.py": ""}, ["attic: the room attic has no floor"], id="no floor"),
    pytest.param(
        {"web/a.py": "from . import b", "web/b.py": "from .a import c"},
        ["in a loop: web.a -> web.b -> web.a"],
        id="loop",
    ),
    pytest.param(
        {"cli/client/connection.py": "import monitord.settings"},
        ["cli.client.connection may not know settings"],
        id="monitorctl",
    ),
    pytest.param(
        {
            "web/a.py": "import httptools\nfrom monitord import __version__\nfrom .b import c",
            "web/b.py": "import json",
        },
        [],
        id="allowed",
    ),
]


@pytest.mark.parametrize(("files", "broken"), RULES)
def test_each_rule_is_seen_when_it_is_broken(
    tmp_path: Path, files: dict[str, str], broken: list[str]
) -> None:
    package = tmp_path / "monitord"
    for name, text in {"__init__.py": "", **files}.items():
        file = package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert broken_rules(package) == broken
