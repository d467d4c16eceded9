"""The settings of discovery: [[discover]], with the template [discover.monitor].

A type is one file and one line in `DISCOVERY_TYPES`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitord.automatic_names import OBJECTIVES, UNITS
from monitord.config import Table, check_name, value_text
from monitord.errors import ConfigError, InvalidValueError, problem_and_hint
from monitord.lazy_classes import LazyClasses
from monitord.monitors import check_names
from monitord.sources.base import MonitorReader, SourceTools
from monitord.sources.discovery.source import DiscoverySource, Fetcher
from monitord.sources.discovery.targets import TargetRules, values_of
from monitord.sources.discovery.template import (
    ADDRESS_PLACEHOLDERS,
    check_placeholders,
    placeholders,
    rendered_monitor,
    uses_labels,
)

DISCOVERY_TYPES: LazyClasses[Fetcher[Any]] = LazyClasses(
    {
        "containers": "monitord.sources.discovery.containers:ContainerFetcher",
        "dns": "monitord.sources.discovery.dns:DnsFetcher",
        "file": "monitord.sources.discovery.file:FileFetcher",
        "http": "monitord.sources.discovery.http:HttpFetcher",
    }
)

RESERVED_NAMES = frozenset({UNITS, OBJECTIVES, "host", "container"})
"""Names of other sources."""

DEFAULT_MAX_TARGETS = 10_000
LARGEST_MAX_TARGETS = 50_000
SHORTEST_REFRESH_S = 1.0
LONGEST_REFRESH_S = 86400.0

SAMPLE_ADDRESS = "192.0.2.1:80"
SAMPLE_LABEL = "1"


@dataclass(frozen=True, slots=True)
class DiscoverySettings:
    """`template`: the keys of each monitor, with placeholders. `options`: those of the type.

    `remove_after_s`: the time for which the monitor of a target continues after the target has disappeared.
    """

    name: str
    type_name: str
    rules: TargetRules
    template: Mapping[str, Any]
    refresh_every_s: float
    timeout_s: float
    remove_after_s: float
    max_targets: int
    options: Any

    @property
    def samples(self) -> Sequence[Mapping[str, Any]]:
        """The monitor of a target of which nothing is known."""
        return (sample_monitor(self.template),)

    def construct(self, tools: SourceTools) -> DiscoverySource:
        fetcher = DISCOVERY_TYPES[self.type_name](self.options, self.timeout_s, tools)
        return DiscoverySource(
            self.rules, self.template, fetcher, self.refresh_every_s, self.remove_after_s, tools.clock
        )

    @property
    def tags(self) -> frozenset[str] | None:
        """The tags of all its monitors; None if they depend on labels."""
        tags = self.template.get("tags", [])
        return None if any(placeholders(tags)) else frozenset(map(str, tags))


def sample_monitor(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the template for an address of which only host and port are known. Raises InvalidValueError."""
    values = dict(values_of(SAMPLE_ADDRESS, {}))
    values |= {
        name: SAMPLE_LABEL for name in placeholders(dict(template)) if name not in ADDRESS_PLACEHOLDERS
    }
    return rendered_monitor(template, values)


def read_discovery(
    tables: Sequence[Table], reader: MonitorReader, monitors: Sequence[str]
) -> tuple[DiscoverySettings, ...]:
    """Read [[discover]]. `reader`: reads a sample of each template. `monitors`: names of configured monitors."""
    by_name: dict[str, DiscoverySettings] = {}
    for table in tables:
        settings = _read_one(table, reader, monitors)
        if settings is None:
            continue
        if settings.name in by_name:
            problem = f"{value_text(settings.name)} is also the name of another [[discover]]"
            table.error("name", problem, "choose another name")
        by_name[settings.name] = settings
    return tuple(by_name.values())


def _read_one(table: Table, reader: MonitorReader, monitors: Sequence[str]) -> DiscoverySettings | None:
    type_name = table.choice("type", tuple(DISCOVERY_TYPES))
    fetcher = DISCOVERY_TYPES[type_name]
    name, keep, drop = (
        _read_name(table, fetcher.default_name),
        _patterns(table, "keep"),
        _patterns(table, "drop"),
    )
    rules = TargetRules("" if name is None else name[1], keep, drop)
    monitor = table.table("monitor")
    template = dict(monitor.written)
    monitor.ignore_others()
    refresh_every_s = table.duration(
        "refresh_every",
        default=fetcher.default_refresh_s,
        minimum=SHORTEST_REFRESH_S,
        maximum=LONGEST_REFRESH_S,
    )
    settings = DiscoverySettings(
        name="" if name is None else name[0],
        type_name=type_name,
        rules=rules,
        template=template,
        refresh_every_s=refresh_every_s,
        timeout_s=table.duration("timeout", default=10.0, minimum=0.1, maximum=300.0),
        remove_after_s=table.duration(
            "remove_after", default=fetcher.default_remove_after_s, maximum=LONGEST_REFRESH_S
        ),
        max_targets=table.integer(
            "max_targets", default=DEFAULT_MAX_TARGETS, minimum=1, maximum=LARGEST_MAX_TARGETS
        ),
        options=fetcher.read_options(table),
    )
    if not template:
        table.error("", "has no monitor", "add [discover.monitor] with the keys of a monitor")
        return None
    if name is None or not _check_template(monitor, template, settings, reader, monitors):
        return None
    return settings


def _read_name(table: Table, default: str) -> tuple[str, str] | None:
    """Read `name`: "nodes:{labels.instance}". Returns both parts. `default`: the part after a missing colon."""

    def parse(text: str) -> tuple[str, str]:
        source, separator, target = text.partition(":")
        check_name(source)
        if source in RESERVED_NAMES:
            raise InvalidValueError("is the name of another source", "choose another name")
        if separator and not any(placeholders(target)):
            raise InvalidValueError(
                "is the same for each target", 'write a placeholder, such as "nodes:{address}"'
            )
        check_placeholders(target)
        return source, target if separator else default

    return table.value("name", parse, default=None, required=True)


def _patterns(table: Table, key: str) -> tuple[tuple[str, str], ...]:
    return tuple(table.mapping(key, default={}).items())


def _check_template(
    table: Table,
    template: Mapping[str, Any],
    settings: DiscoverySettings,
    reader: MonitorReader,
    monitors: Sequence[str],
) -> bool:
    """Read the template for a sample. Errors at keys with labels depend on the target, and are reported for it."""
    is_valid = True
    for key, value in template.items():
        try:
            check_placeholders(value)
        except InvalidValueError as error:
            table.error(key, error.problem, error.hint)
            is_valid = False
    command = template.get("command")
    if isinstance(command, list) and command and any(placeholders(command[0])):
        table.error("command", "has a placeholder in the name of the program", "write the program itself")
        is_valid = False
    if not is_valid:
        return False
    try:
        sample = reader.read(f"{settings.name}:sample", settings.name, sample_monitor(template))
    except InvalidValueError as error:
        table.error("", *problem_and_hint(error))
        return False
    except ConfigError as error:
        relevant = [
            diagnostic
            for diagnostic in error.diagnostics
            if len(diagnostic.path) <= 2 or not uses_labels(template.get(str(diagnostic.path[2])))  # noqa: PLR2004
        ]
        table.add_errors(relevant, 2)
        return not relevant
    for key, parents in (("depends_on", sample.depends_on), ("depends_on_any", sample.depends_on_any)):
        if key in template and not any(placeholders(template[key])):
            check_names(table, key, parents, monitors)
    return True
