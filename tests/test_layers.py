"""Permitted imports: docs/architecture.md, "Import layers". Change that table in the same commit as this file.

A module imports from lower layers or from its own component: the top-level module or package. Imports within functions
and under TYPE_CHECKING count, and so do modules named in strings: in `import_module("…")` and the like, before the
colon of "module:Class", and after "-m" on the command line of a process.
"""

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

import monitord

PACKAGE = Path(monitord.__file__).parent

LAYERS = {
    0: {"errors"},
    1: {"units", "clock", "calendar_events", "paths", "container", "lazy_classes", "text", "web", "systemd"},
    2: {
        *("model", "config", "net", "explanation", "journal_events", "automatic_names", "badges"),
        "conditional_requests",
    },
    3: {"conditions", "health", "history", "posts"},
    4: {"journal", "options"},
    5: {"monitors", "notifiers"},
    6: {"alerts", "dispatch"},
    7: {"bridges", "cluster", "public_pages", "reports", "sources"},
    8: {"settings", "status"},
    9: {"control", "interventions"},
    10: {"application"},
    11: {"daemon", "replay"},
    12: {"cli", "__main__"},
}
LAYER_OF = {component: layer for layer, components in LAYERS.items() for component in components}

# Only these components may import a library, each those of its own field.
LIBRARIES = {
    "web": {"httptools", "multidict", "yarl"},
    "systemd": {"systemd"},
    "cluster": {"psycopg"},
    "config": {"tomli"},
    "journal": {"systemd"},
    "net": {
        "aiohttp",
        "aiosmtplib",
        "asyncpg",
        "brotli",
        "dbus_fast",
        "dns",
        "h2",
        "icmplib",
        "multidict",
        "pymysql",
        "wsproto",
        "yarl",
        "zstandard",
    },
    "notifiers": {"apprise", "jinja2"},
    "public_pages": {"jinja2"},
    "sources": {"yaml"},
    "status": {"jinja2", "prometheus_client"},
    "cli": {"tomli", "uvloop", "yaml"},
}

# monitorctl must start quickly: only these of its modules import parts of the daemon.
SLOW = {
    "cli.cluster",
    "cli.daemon",
    "cli.daemon.command",
    "cli.daemon.service_user",
    "cli.daemon.waiting_clients",
    "cli.importing.check",
    "cli.output.probe_view",
    "cli.probe",
    "cli.start",
    "cli.what_if",
}
QUICK_LAYER = 2


IMPORTING_CALLS = {"__import__", "import_module", "import_problem", "find_spec"}
"""Functions whose first argument is the name of a module."""
IMPORTS_FOR_OTHERS = {"lazy_classes", "net.base.libraries"}
"""Their callers pass the name, which is checked there."""

PLACE_OF_CLASS = re.compile(r"([a-z]\w*(?:\.\w+)+):[A-Z]\w*")
"""A class that `lazy_classes` imports."""

# These components could be separate projects: a web framework, and the protocols of systemd.
GENERAL_COMPONENTS = {"web", "systemd"}
WORDS_OF_MONITORING = frozenset(
    {
        *(
            "alert",
            "alerts",
            "checks",
            "downtime",
            "flapping",
            "heartbeat",
            "heartbeats",
            "incident",
            "incidents",
        ),
        *("monitor", "monitored", "monitoring", "monitors", "notifier", "notifiers", "outage", "outages"),
        *("probe", "prober", "probes", "silence", "silenced", "silences", "uptime", "verdict", "verdicts"),
    }
)
CHECK_AS_NOUN = re.compile(r"\b(?:a|an|the|each|every|one|per|of|last|next) check\b", re.IGNORECASE)
OTHER_MEANINGS = {"systemd.stderr": {"alert"}}
"""A level of syslog."""


def module_name(package: Path, file: Path) -> str:
    """ "web.request" for web/request.py, "web" for its __init__, "" for that of the package."""
    parts = file.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(package: Path, file: Path, tree: ast.Module) -> Iterator[str]:
    """Absolute names: what is imported from a package is one of its modules where there is such a file."""
    inside = [package.name, *file.relative_to(package).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*inside[: len(inside) - node.level + 1]] if node.level else []
            base += node.module.split(".") if node.module else []
            for alias in node.names:
                inner = package.parent.joinpath(*base, alias.name)
                is_module = inner.with_suffix(".py").exists() or (inner / "__init__.py").exists()
                yield ".".join([*base, alias.name] if is_module else base)


def modules_in_strings(tree: ast.Module) -> Iterator[str]:
    """The modules that are imported by a name in a string; "?" where the name is not a constant of the file."""
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            place = PLACE_OF_CLASS.fullmatch(node.value)
            if place is not None:
                yield place[1]
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called not in IMPORTING_CALLS:
            continue
        named = node.args[0]
        if isinstance(named, ast.Constant):
            yield str(named.value)
        else:
            yield str(constants.get(named.id, "?")) if isinstance(named, ast.Name) else "?"


def modules_run(tree: ast.Module) -> Iterator[str]:
    """The modules after "-m" in a list, a tuple or a call: they run in another process."""
    for node in ast.walk(tree):
        items = node.args if isinstance(node, ast.Call) else getattr(node, "elts", [])
        for option, module in pairwise(items):
            if isinstance(option, ast.Constant) and option.value == "-m":
                name = module.value if isinstance(module, ast.Constant) else "?"
                if isinstance(name, str) and not name.startswith(
                    "-"
                ):  # an option of a parser: "-m", "--message"
                    yield name


def words_of_monitoring(text: str) -> list[str]:
    """In names, strings and comments; `monitord` is the name of the package."""
    text = re.sub(r"\bmonitord\b", "", text)
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", text)}
    return sorted(words & WORDS_OF_MONITORING) + sorted(
        {found.lower() for found in CHECK_AS_NOUN.findall(text)}
    )


def broken_rules(package: Path) -> list[str]:
    broken = []
    known: dict[str, set[str]] = {}
    for file in sorted(package.rglob("*.py")):
        name = module_name(package, file)
        component = name.partition(".")[0]
        known[name] = set()
        if component and component not in LAYER_OF:
            broken.append(f"{name}: the component {component} has no layer")
            continue
        text = file.read_text()
        tree = ast.parse(text)
        for imported in (*imports(package, file, tree), *modules_in_strings(tree)):
            top, _, inner = imported.partition(".")
            if top == package.name:
                known[name].add(inner)
            broken += broken_by_import(name, inner, top, package.name)
        broken += broken_by_process(name, tree, package.name)
        if component in GENERAL_COMPONENTS:
            words = set(words_of_monitoring(text)) - OTHER_MEANINGS.get(name, set())
            broken += [f"{name} uses a word of monitoring: {word}" for word in sorted(words)]
    return broken + [f"import cycle: {' -> '.join(loop)}" for loop in loops(known)]


def broken_by_import(name: str, inner: str, top: str, package_name: str) -> Iterator[str]:
    if top == package_name:
        if not may_import(name, inner):
            yield f"{name} must not import {inner}"
    elif top == "?":
        if name not in IMPORTS_FOR_OTHERS:
            yield f"{name} imports a module whose name is not a constant"
    elif top not in sys.stdlib_module_names and top not in LIBRARIES.get(name.partition(".")[0], set()):
        yield f"{name} must not import the library {top}"


def broken_by_process(name: str, tree: ast.Module, package_name: str) -> Iterator[str]:
    for run in modules_run(tree):
        top, _, inner = run.partition(".")
        if top == "?":
            yield f"{name} runs a module whose name is not a constant"
        elif top == package_name and not may_run(name, inner):
            yield f"{name} must not run {inner}"


def loops(known: dict[str, set[str]]) -> Iterator[list[str]]:
    """Find each cycle, and remove one of its imports to find the next."""
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


def may_import(name: str, other: str) -> bool:
    """Return whether the module can import the other. The package itself ("") has the version, which all can import."""
    component, other_top = name.partition(".")[0], other.partition(".")[0]
    if not other_top:
        return True
    if other_top not in LAYER_OF or not component:
        return False
    if name == "__main__":
        return other_top == "cli"
    if component == "cli" and name not in SLOW:
        return (other_top == "cli" and other not in SLOW) or LAYER_OF[other_top] <= QUICK_LAYER
    return component == other_top or LAYER_OF[other_top] < LAYER_OF[component]


def may_run(name: str, other: str) -> bool:
    """Return the same for a module that another process runs, which delays nothing here."""
    component, other_top = name.partition(".")[0], other.partition(".")[0]
    return (
        not other_top or component == other_top or LAYER_OF.get(other_top, sys.maxsize) < LAYER_OF[component]
    )


def test_every_module_imports_only_from_lower_layers() -> None:
    assert broken_rules(PACKAGE) == []


def test_document_has_the_same_layers() -> None:
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ((?:`\w+`(?:, )?)+)", text, re.MULTILINE)
    assert {int(layer): set(re.findall(r"\w+", components)) for layer, components in rows} == LAYERS


def test_class_name_exists_once_in_the_package() -> None:
    """`Client` and `_Client` are the same name to a reader."""
    places: dict[str, list[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name.lstrip("_"), []).append(module_name(PACKAGE, file))
    assert {name: modules for name, modules in places.items() if len(modules) > 1} == {}


def test_every_component_of_the_table_exists() -> None:
    assert [component for component in LAYER_OF if not list(PACKAGE.glob(f"{component}*"))] == []


def test_every_library_of_the_table_is_used_where_it_is_permitted() -> None:
    used: dict[str, set[str]] = {component: set() for component in LIBRARIES}
    for file in PACKAGE.rglob("*.py"):
        tree = ast.parse(file.read_text())
        component = module_name(PACKAGE, file).partition(".")[0]
        named = (*imports(PACKAGE, file, tree), *modules_in_strings(tree))
        used.setdefault(component, set()).update(name.partition(".")[0] for name in named)
    unused = {component: libraries - used[component] for component, libraries in LIBRARIES.items()}
    assert not any(unused.values()), unused


RULES = [
    pytest.param({"net/a.py": "import monitord.config"}, ["net.a must not import config"], id="same layer"),
    pytest.param(
        {"model.py": "from monitord import daemon", "daemon.py": ""},
        ["model must not import daemon"],
        id="above",
    ),
    pytest.param(
        {"web/a.py": "def late():\n    import monitord.cli"}, ["web.a must not import cli"], id="late"
    ),
    pytest.param(
        {
            "health/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from monitord.dispatch import x"
        },
        ["health.a must not import dispatch"],
        id="for types",
    ),
    pytest.param(
        {"health/a.py": "from ..monitors.b import c", "monitors/b.py": ""},
        ["health.a must not import monitors.b"],
        id="relative",
    ),
    pytest.param({"units.py": "import aiohttp"}, ["units must not import the library aiohttp"], id="library"),
    pytest.param(
        {"health/a.py": 'import importlib\nimportlib.import_module("monitord.dispatch")'},
        ["health.a must not import dispatch"],
        id="by string",
    ),
    pytest.param(
        {"notifiers/__init__.py": 'TYPES = {"a": "monitord.monitors.a:A"}', "monitors/a.py": ""},
        ["notifiers must not import monitors.a"],
        id="lazy class",
    ),
    pytest.param(
        {"monitors/a.py": 'LIBRARY = "icmplib"\ndef there():\n    __import__(LIBRARY)'},
        ["monitors.a must not import the library icmplib"],
        id="library by string",
    ),
    pytest.param(
        {"monitors/a.py": "from importlib import import_module\ndef load(name):\n    import_module(name)"},
        ["monitors.a imports a module whose name is not a constant"],
        id="by a name from elsewhere",
    ),
    pytest.param(
        {"journal/a.py": 'COMMAND = ("python3", "-m", "monitord.monitors.b")'},
        ["journal.a must not run monitors.b"],
        id="another process",
    ),
    pytest.param(
        {"cli/a.py": 'def run(module):\n    start("-m", module)'},
        ["cli.a runs a module whose name is not a constant"],
        id="another process by a name from elsewhere",
    ),
    pytest.param(
        {"web/a.py": 'class HttpMonitor:\n    """Made for every check."""'},
        ["web.a uses a word of monitoring: every check", "web.a uses a word of monitoring: monitor"],
        id="words of monitoring",
    ),
    pytest.param({"attic.py": ""}, ["attic: the component attic has no layer"], id="no layer"),
    pytest.param(
        {"web/a.py": "from . import b", "web/b.py": "from .a import c"},
        ["import cycle: web.a -> web.b -> web.a"],
        id="loop",
    ),
    pytest.param(
        {"cli/client/connection.py": "import monitord.settings"},
        ["cli.client.connection must not import settings"],
        id="monitorctl",
    ),
    pytest.param(
        {
            "web/a.py": "import httptools\nfrom monitord import __version__\nfrom .b import c",
            "web/b.py": 'import json\nlogging.getLogger("monitord.web").info("host", check_host())',
            "cli/c.py": 'run("-m", "monitord.cli.probe")\nparser.add_argument("-m", "--message")',
            "net/d.py": 'find_spec("dns.message")',
        },
        [],
        id="allowed",
    ),
]


@pytest.mark.parametrize(("files", "broken"), RULES)
def test_violation_of_each_rule_is_found(tmp_path: Path, files: dict[str, str], broken: list[str]) -> None:
    package = tmp_path / "monitord"
    for name, text in {"__init__.py": "", **files}.items():
        file = package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert broken_rules(package) == broken
