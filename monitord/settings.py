"""The configuration as frozen values. `read_settings` validates it completely; nothing else checks it again.

[log]       level, checks
[status]    socket, listen, allowed_hosts, public_url, proxy_socket, user_header, max_connections_per_address,
            max_event_streams_per_address
[status.tokens.NAME]   token, rights, locations
[history]   enabled, directory, max_size, result_retention, minute_retention, hour_retention, day_retention
[limits]    max_concurrent_checks, max_concurrent_per_host, max_concurrent_processes
[network]   isolation_threshold, canaries
[cluster]   database, location, node, alone_after; hub, token, ca_file of an agent
[auto]      units, host, containers, container_socket, ignore
[auto.override.NAME]
[[discover]]
[discover.monitor]
[notifiers.NAME]
[[alerts.routes]]
[defaults]  any key that every monitor has
[monitors.NAME]
[maintenance.NAME]
[reports.NAME]
[pages.NAME], [[pages.NAME.groups]]
"""

import logging
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from monitord.alerts import AlertSettings, read_alerts
from monitord.automatic_names import UNITS
from monitord.config import (
    ConfigAccess,
    Document,
    Secret,
    SharedResults,
    Table,
    check_location,
    check_name,
    document_of,
    key_text,
    read_document,
    value_text,
)
from monitord.dispatch import LoggedChecks
from monitord.errors import ConfigError, Diagnostic, InvalidValueError, problem_and_hint
from monitord.health import HealthPolicy, TimeWindow, read_windows
from monitord.health.selection import check_selection, check_tags
from monitord.history import HistorySettings, read_history
from monitord.model import QUORUM_NAMES, MonitorContext, Quorum, Severity, TokenRights
from monitord.monitors import (
    IMPLIED_TYPES,
    MONITOR_TYPES,
    PROCESSES,
    MonitorSettings,
    MonitorType,
    check_names,
    check_references,
    monitor_type,
    monitor_type_names,
)
from monitord.monitors.base import CLUSTER, DEFAULT_CHECK_EVERY_S, DEFAULT_TIMEOUT_S, OBJECTIVE
from monitord.monitors.conditions import read_conditions
from monitord.monitors.group import GroupMonitor
from monitord.monitors.objective import ObjectiveOptions, objective_of, read_objective
from monitord.monitors.systemd.common import has_library, parse_unit_pattern
from monitord.notifiers import one_timeout
from monitord.options.listen import ListenAddress, parse_host_name, parse_listen_address, read_socket_path
from monitord.public_pages.settings import PageSettings, read_pages
from monitord.reports.settings import ReportSettings, read_reports
from monitord.sources import SourceSettings, SourcesSettings
from monitord.sources.discovery import read_discovery
from monitord.sources.host.source import host_monitors
from monitord.sources.units import AutoMode, failed_units
from monitord.text import did_you_mean, nearest
from monitord.units import format_duration

if TYPE_CHECKING:
    from monitord.cluster.settings import ClusterSettings

log = logging.getLogger(__name__)

SHORTEST_PERIOD_S = 0.1
LONGEST_PERIOD_S = 366 * 86400.0

RETRY_EVERY_S = 10.0

MAX_TITLE_CHARACTERS = 100
MAX_CONTACT_CHARACTERS = 200
MAX_DESCRIPTION_CHARACTERS = 1000
MAX_ADDRESS_CHARACTERS = 500
"""Limits of human-readable texts: a notification of one monitor contains all of them, and receivers limit its size."""

SHORTEST_TOKEN = 16
"""Characters. Attempts are limited per minute, but not in total."""


class LogLevel(Enum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def number(self) -> int:
        return logging.getLevelNamesMapping()[self.name]


@dataclass(frozen=True, slots=True)
class LogSettings:
    level: LogLevel = LogLevel.INFO
    checks: LoggedChecks = LoggedChecks.ALL


USER_HEADER = "X-Remote-User"


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token for changes. Changes with it are recorded under its name.

    `locations`: of the agents that report with it; empty: all.
    """

    name: str
    token: Secret
    rights: TokenRights = TokenRights.ALL
    locations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StatusSettings:
    """Settings of the status interface. `socket`: path to listen on if the service manager passes no socket; None for
    the default of `monitord.paths`.

    `listen`: TCP addresses, read-only for clients without a token. `allowed_hosts`: further names of this host, in
    lower case.
    `proxy_socket`: path of the socket of a reverse proxy that names its users in `user_header`; None: there is none.
    `public_url`: the address of the pages for links in notifications, without a slash at its end; empty: no links.
    The limits apply to each client over TCP: an IPv4 address or an IPv6 network with a 64-bit prefix.
    """

    socket: Path | None = None
    listen: tuple[ListenAddress, ...] = ()
    tokens: tuple[ApiToken, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    public_url: str = ""
    proxy_socket: Path | None = None
    user_header: str = USER_HEADER
    max_connections_per_address: int = 100
    max_event_streams_per_address: int = 50


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Limits of concurrent checks, in total and per host. Time in the queue for a slot counts as lateness."""

    max_concurrent_checks: int = 256
    max_concurrent_per_host: int = 8
    max_concurrent_processes: int = 32

    @property
    def by_pool(self) -> Mapping[str, int]:
        """The limits of pools other than hosts."""
        return {PROCESSES: self.max_concurrent_processes}


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """When this host is considered isolated: at least this share of the monitors and all canaries begin to fail."""

    isolation_threshold: float = 0.8
    canaries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """A complete configuration. `cluster` None: this host is not a node of a cluster."""

    log: LogSettings = LogSettings()
    status: StatusSettings = StatusSettings()
    history: HistorySettings = HistorySettings()  # noqa: RUF009 - frozen
    limits: LimitSettings = LimitSettings()
    network: NetworkSettings = NetworkSettings()
    sources: SourcesSettings = SourcesSettings()  # noqa: RUF009 - frozen
    monitors: tuple[MonitorSettings, ...] = ()
    maintenance: tuple[TimeWindow, ...] = ()
    alerts: AlertSettings = AlertSettings()  # noqa: RUF009 - frozen
    reports: tuple[ReportSettings, ...] = ()
    pages: tuple[PageSettings, ...] = ()
    cluster: "ClusterSettings | None" = None
    warnings: tuple[Diagnostic, ...] = field(default=(), compare=False)
    """Settings that are valid, but cannot work on this host or have no effect."""

    @property
    def checks_per_second(self) -> float:
        return sum(1 / monitor.check_every_s for monitor in self.monitors)


def read_settings(
    path: Path,
    *,
    environment: Mapping[str, str] | None = None,
    access: ConfigAccess = ConfigAccess.DAEMON,
    is_start: bool = False,
) -> Settings:
    """Read the file and its drop-ins. Raises ConfigError with all errors.

    `is_start`: the daemon starts with this configuration, so settings that have become outdated are not errors.
    """
    environment = os.environ if environment is None else environment
    document = read_document(
        path,
        environment=environment,
        access=access,
        is_start=is_start,
    )
    with one_timeout():
        settings = _read(document, environment, access)
    document.check()
    return replace(settings, warnings=document.warnings())


def read_monitor(keys: Mapping[str, Any], name: str, *, environment: Mapping[str, str]) -> MonitorSettings:
    """Read one monitor from keys that are not in a file. Raises ConfigError with all errors."""
    document = document_of({"monitors": {name: keys}}, origin=name, environment=environment)
    settings = _read(document, environment)
    document.check()
    return settings.monitors[0]


def _read(
    document: Document, environment: Mapping[str, str], access: ConfigAccess = ConfigAccess.DAEMON
) -> Settings:
    root = document.root
    defaults = root.table("defaults")
    # Read here so that [defaults] is checked even if no monitor inherits it.
    _common(defaults)
    for key in ("depends_on", "depends_on_any"):
        _parents("", defaults, key)
    monitors = tuple(
        settings
        for name, table in root.named("monitors", over=defaults).items()
        if (settings := _monitor(name, table)) is not None
    )
    _check_renamed(monitors, root.table("monitors"))
    check_references(monitors, root.table("monitors"))
    names = root.table("monitors").members()
    # The tags of a monitor with errors are not known.
    tags = {tag for monitor in monitors for tag in monitor.tags} if len(monitors) == len(names) else None
    sources = _sources(root, monitors, environment, access)
    if tags is not None and sources.sources:
        of_sources: list[frozenset[str] | None] = [
            getattr(source, "tags", frozenset()) for source in sources.sources
        ]
        known = [of_source for of_source in of_sources if of_source is not None]
        is_known = len(known) == len(of_sources)
        tags = tags.union(_common(defaults)["tags"], *known) if is_known else None
    status = _status(root.table("status"))
    windows, alerts = (
        read_windows(root.table("maintenance"), names, tags),
        read_alerts(root, names, tags, status.public_url),
    )
    if tags is not None:
        _check_tags_together(root, monitors, windows, alerts)
    history = read_history(root.table("history"))
    _check_objectives(root.table("monitors"), monitors, tags, history)
    objectives = tuple(filter(None, map(objective_of, monitors)))
    log = root.table("log")
    return Settings(
        log=LogSettings(
            level=log.choice("level", LogLevel, default=LogLevel.INFO),
            checks=log.choice("checks", LoggedChecks, default=LoggedChecks.ALL),
        ),
        status=status,
        history=history,
        limits=_limits(root.table("limits")),
        network=_network(root.table("network"), names),
        sources=sources,
        monitors=(*monitors, *objectives),
        maintenance=windows,
        alerts=alerts,
        reports=read_reports(root, alerts.notifiers, names, tags),
        pages=read_pages(root, names, tags, status.allowed_hosts),
        cluster=_cluster(root, monitors),
    )


_CLUSTER_KEYS = ("locations", "quorum")


def _cluster(root: Table, monitors: Sequence[MonitorSettings]) -> "ClusterSettings | None":
    """Read [cluster], and report keys of monitors and notifiers that have no effect."""
    monitor_tables = root.table("monitors").members()
    if root.raw("cluster") is None:
        tables = [
            *(root.table("defaults"), *monitor_tables.values(), *root.table("notifiers").members().values()),
            *root.table("auto").table("override").inner().values(),
            *(table.table("monitor") for table in root.tables("discover")),
        ]
        for table in tables:
            for key in _CLUSTER_KEYS:
                if key in table:
                    table.error(key, "has no effect without a cluster", "configure [cluster], or remove it")
        for monitor in [monitor for monitor in monitors if monitor.type_name == CLUSTER]:
            monitor_tables[monitor.name].error(
                "type",
                "this host is not a node of a cluster",
                "configure [cluster] with database and location, or remove the monitor",
            )
        return None
    for monitor in monitors:
        # Keys that have no effect because the monitor is not shared, and a quorum that is never reached.
        table = monitor_tables[monitor.name]
        written = [key for key in _CLUSTER_KEYS if key in table]
        kind = monitor_type(monitor.type_name) if written else None
        if kind is not None and kind.belongs_to_host(monitor.options):
            for key in written:
                table.error(
                    key,
                    "has no effect, because only this host checks the monitor",
                    "remove it: the nodes of a cluster share only monitors that use the network",
                )
        elif isinstance(monitor.quorum, int) and 0 < len(monitor.locations) < monitor.quorum:
            count = len(monitor.locations)
            table.error(
                "quorum",
                f"{monitor.quorum} is more than the number of locations, which is {count}",
                f"write at most {count}, or add locations",
            )
    # Without a cluster, the module is not imported: see lazy_classes.py.
    from monitord.cluster.settings import read_cluster  # noqa: PLC0415

    return read_cluster(root.table("cluster"))


def _check_tags_together(
    root: Table, monitors: Sequence[MonitorSettings], windows: Sequence[TimeWindow], alerts: AlertSettings
) -> None:
    """Report matchers that match nothing, because no monitor has all of their tags."""
    tables = root.table("maintenance").members()
    routes = root.table("alerts").tables("routes")
    matchers = [
        *((tables[window.name], window.tags) for window in windows),
        *((table, route.tags) for table, route in zip(routes, alerts.routes, strict=True)),
    ]
    known = [set(monitor.tags) for monitor in monitors]
    for table, tags in matchers:
        has_each = all(any(tag in monitor_tags for monitor_tags in known) for tag in tags)
        if has_each and tags and not any(monitor_tags.issuperset(tags) for monitor_tags in known):
            problem = f"no monitor has all of {', '.join(map(value_text, tags))}"
            table.error(
                "tags", problem, "a monitor must have every tag of the list; write one entry for each tag"
            )


def _check_objectives(
    table: Table,
    monitors: Iterable[MonitorSettings],
    tags: Collection[str] | None,
    history: HistorySettings,
) -> None:
    """Report objectives whose monitors do not exist, and those whose window is not stored. `table`: [monitors]."""
    names = table.members()
    for monitor in monitors:
        section, objective = table.table(monitor.name), monitor.objective
        if isinstance(monitor.options, ObjectiveOptions):
            objective = monitor.options.objective
            check_selection(section, "monitors", monitor.options.monitors, names)
            check_tags(section, "monitor_tags", monitor.options.monitor_tags, tags)
        elif objective is not None:
            section = section.table("slo")
        if objective is None:
            continue
        window, days = format_duration(objective.window_s), format_duration(history.days_s)
        if not history.enabled:
            section.error(
                "target",
                "needs the history, which is disabled",
                "write enabled = true in [history], or remove it",
            )
        elif objective.window_s > history.days_s:
            section.error(
                "window",
                f'"{window}" is longer than day_retention in [history], which is "{days}"',
                f'write at most "{days}", or increase day_retention',
            )


def _check_renamed(monitors: Iterable[MonitorSettings], table: Table) -> None:
    """Report a `renamed_from` that is still the name of a monitor, or the previous name of two monitors."""
    taken = {monitor.name: "is still configured as a monitor" for monitor in monitors}
    for monitor in monitors:
        old = monitor.renamed_from
        if old is None:
            continue
        if old in taken:
            table.table(monitor.name).error(
                "renamed_from", f"{value_text(old)} {taken[old]}", "remove one of them"
            )
        taken[old] = f"is also the previous name of {monitor.name}"


def _status(table: Table) -> StatusSettings:
    proxy_socket = read_socket_path(table, "proxy_socket", "/run/monitord-login.sock")
    if "user_header" in table and "proxy_socket" not in table:
        table.error(
            "user_header",
            "has no effect without proxy_socket",
            'write proxy_socket = "/run/monitord-login.sock" as well, the only socket on which the header is used',
        )
    return StatusSettings(
        socket=read_socket_path(table, "socket", "/run/monitord/status.sock"),
        proxy_socket=proxy_socket,
        user_header=table.value("user_header", _header_name, default=USER_HEADER),
        listen=tuple(dict.fromkeys(table.one_or_more("listen", parse_listen_address, default=()))),
        tokens=_tokens(table),
        allowed_hosts=tuple(dict.fromkeys(table.one_or_more("allowed_hosts", parse_host_name, default=()))),
        public_url=table.value("public_url", _public_url, default=""),
        max_connections_per_address=table.integer(
            "max_connections_per_address", default=100, minimum=1, maximum=10_000
        ),
        max_event_streams_per_address=table.integer(
            "max_event_streams_per_address", default=50, minimum=1, maximum=200
        ),
    )


def _header_name(text: str) -> str:
    """Parse the name of a header field (RFC 9110, section 5.6.2). Raises InvalidValueError."""
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", text):
        raise InvalidValueError("is not the name of a header field", 'write a name such as "X-Remote-User"')
    if text.lower() in {"authorization", "cookie", "host", "origin"}:
        raise InvalidValueError("has another meaning", 'write a name such as "X-Remote-User"')
    return text


def _tokens(table: Table) -> tuple[ApiToken, ...]:
    if "token" in table:
        table.secret("token")
        table.error(
            "token", "is not an option of [status]", "write [status.tokens.NAME] with token = … below it"
        )
    tokens: list[ApiToken] = []
    for name, member in table.table("tokens").members().items():
        token = member.secret("token")
        rights = member.choice("rights", TokenRights, default=TokenRights.ALL)
        locations = member.one_or_more("locations", check_location, default=())
        if "locations" in member and rights is not TokenRights.REPORT:
            member.error("locations", 'has no effect without rights = "report"', "write both, or remove it")
        # The value of a secret that was not resolved is empty.
        if token and len(token.reveal()) < SHORTEST_TOKEN:
            member.error(
                "token",
                f"is shorter than {SHORTEST_TOKEN} characters",
                "create one with: openssl rand -hex 32",
            )
        if token and token in [other.token for other in tokens]:
            member.error("token", "is that of another name", "create one for each name: openssl rand -hex 32")
        tokens.append(ApiToken(name, token, rights, locations))
    return tuple(tokens)


def _limits(table: Table) -> LimitSettings:
    return LimitSettings(
        max_concurrent_checks=table.integer("max_concurrent_checks", default=256, minimum=1, maximum=100_000),
        max_concurrent_per_host=table.integer(
            "max_concurrent_per_host", default=8, minimum=1, maximum=100_000
        ),
        max_concurrent_processes=table.integer(
            "max_concurrent_processes", default=32, minimum=1, maximum=10_000
        ),
    )


def _network(table: Table, names: Iterable[str]) -> NetworkSettings:
    canaries = table.values("canaries", check_name, default=())
    check_names(table, "canaries", canaries, names)
    return NetworkSettings(
        isolation_threshold=table.number("isolation_threshold", default=0.8, minimum=0.1, maximum=1.0),
        canaries=canaries,
    )


def _sources(
    root: Table, monitors: Sequence[MonitorSettings], environment: Mapping[str, str], access: ConfigAccess
) -> SourcesSettings:
    """Read [auto] and [[discover]]. [defaults] also apply to automatic monitors."""
    auto = root.table("auto")
    ignore = auto.values("ignore", _automatic_pattern, default=())
    defaults = root.raw_table("defaults")
    reader = AutomaticReader(defaults, (), environment, access)
    sources: list[SourceSettings] = []
    units = auto.choice("units", AutoMode, default=None)
    # The installed configuration has it, and the package only recommends the library.
    if units is not None and has_library(auto, "units", units.value, is_required=False):
        sources.append(failed_units(ignore, monitors))
    if auto.flag("host", default=False):
        sources.append(host_monitors(monitors))
    if auto.raw("containers") is not None or auto.raw("container_socket") is not None:
        # The type is imported only where it is used: see lazy_classes.py.
        from monitord.monitors.container.monitor import DEFAULT_SOCKET, parse_socket  # noqa: PLC0415
        from monitord.sources.containers import AutoContainers, unhealthy_containers  # noqa: PLC0415

        socket = auto.value("container_socket", parse_socket, default=DEFAULT_SOCKET)
        if auto.choice("containers", AutoContainers, default=None) is not None:
            sources.append(unhealthy_containers(socket, ignore, monitors))
    sources += read_discovery(root.tables("discover"), reader, list(root.table("monitors").members()))
    overrides = _overrides(auto, sources, reader)
    reader = AutomaticReader(defaults, overrides, environment, access)
    return SourcesSettings(tuple(sources), ignore, reader if sources else None)


def _automatic_pattern(text: str) -> str:
    """Parse a pattern for names of automatic monitors. Raises InvalidValueError."""
    source, separator, target = text.partition(":")
    if not separator or not target:
        raise InvalidValueError(
            "is not a pattern for names of automatic monitors",
            'begin with the name of their source and a colon, as in "unit:*.mount"',
        )
    return f"{UNITS}:{parse_unit_pattern(target)}" if source == UNITS else text


def _overrides(
    auto: Table, sources: Iterable[SourceSettings], reader: "AutomaticReader"
) -> tuple[tuple[str, Mapping[str, object]], ...]:
    """Read [auto.override.NAME]. Each must be valid for a monitor of its source."""
    overrides = []
    for written, table in auto.table("override").inner().items():
        table.ignore_others()
        try:
            pattern = _automatic_pattern(written)
        except ValueError as error:
            problem, hint = problem_and_hint(error)
            table.error("", f"{value_text(written)} {problem}", hint)
            continue
        overrides.append((pattern, table.written))
        for key in sorted(_NOT_OVERRIDDEN & table.written.keys()):
            table.error(key, "cannot be overridden", "remove it")
        prefix = pattern.partition(":")[0]
        samples = [sample for source in sources if source.name == prefix for sample in source.samples]
        if not samples:
            _common(table)
        first: ConfigError | None = None
        for sample in samples:
            try:
                reader.read("sample", "sample", {**sample, **table.written})
            except ConfigError as error:
                first = first or error
            else:
                break
        else:
            if first is not None:
                table.add_errors(first.diagnostics, 2)
    return tuple(overrides)


_NOT_OVERRIDDEN = frozenset({"type", "renamed_from"})
"""Keys that [auto.override.NAME] cannot have."""


class AutomaticReader:
    """Reads the settings of automatic monitors with the values of [defaults] and [auto.override.NAME].

    Of several overrides with the same key, the last counts. A table, such as `headers`, is overridden as a whole.
    """

    def __init__(
        self,
        defaults: Mapping[str, object],
        overrides: tuple[tuple[str, Mapping[str, object]], ...],
        environment: Mapping[str, str],
        access: ConfigAccess = ConfigAccess.DAEMON,
        shared: SharedResults | None = None,
    ) -> None:
        self._defaults = defaults
        self._overrides = overrides
        self._environment = environment
        self._access = access
        self._shared = shared

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AutomaticReader):
            return NotImplemented
        return self._defaults == other._defaults and self._overrides == other._overrides

    __hash__ = None  # type: ignore[assignment] # its values are not hashable

    def for_many(self) -> "AutomaticReader":
        return AutomaticReader(
            self._defaults, self._overrides, self._environment, self._access, SharedResults()
        )

    def read(self, name: str, source: str, keys: Mapping[str, Any]) -> MonitorSettings:
        """Read the settings of a monitor. Raises ConfigError."""
        for pattern, values in self._overrides:
            if fnmatchcase(name, pattern):
                keys = {**keys, **values}
        document = document_of(
            {"defaults": self._defaults, "monitors": {name: keys}},
            origin=name,
            environment=self._environment,
            access=self._access,
        )
        root = document.root
        over = root.table("defaults") if self._defaults else None
        table = root.table("monitors").member(name, over=over, shared=self._shared)
        if keys.get("type") == GroupMonitor.type_name:
            # Groups that contain each other by their tags would keep each other down.
            table.error("type", "a group cannot be automatic", "configure it as [monitors.NAME]")
        if "renamed_from" in keys:
            table.error("renamed_from", "cannot be used for automatic monitors", "remove it")
        settings = _monitor(name, table, source)
        errors = document.diagnostics()
        if self._shared is not None:
            (self._shared.discard if errors else self._shared.keep)()
        if errors:
            raise ConfigError([replace(error, file=name, key=key_text(error.path[2:])) for error in errors])
        assert settings is not None  # noqa: S101 - None only with errors
        return settings


def _monitor(name: str, table: Table, source: str | None = None) -> MonitorSettings | None:
    """`source`: the source of an automatic monitor."""
    kind = _type_of(table)
    common = _common(table, kind)
    if kind is None:
        table.ignore_others()
        return None
    options = kind.read_options(table)
    vocabulary, absent = kind.vocabulary_of(options), kind.absent_fields(options)
    timeout_s = common["timeout_s"]
    settings = MonitorSettings(
        name=name,
        type_name=kind.type_name,
        options=options,
        up_when=table.reuse(read_conditions, "up_when", vocabulary, absent, timeout_s),
        degraded_when=table.reuse(read_conditions, "degraded_when", vocabulary, absent, timeout_s),
        renamed_from=table.value("renamed_from", check_name, default=None),
        depends_on=_parents(name, table, "depends_on"),
        depends_on_any=_parents(name, table, "depends_on_any"),
        source=source,
        **common,
    )
    table.finish()
    return settings


def _parents(name: str, table: Table, key: str) -> tuple[str, ...]:
    """Read the parents. The monitor itself is removed from parents that it inherits from [defaults]."""
    parents = table.values(key, check_name, default=())
    return tuple(parent for parent in parents if parent != name or key in table)


_FOREIGN_TYPES = {
    "docker": "container",
    "https": "http",
    "keyword": "http",
    "ping": "icmp",
    "port": "tcp",
    "push": "heartbeat",
}
"""Types of other monitoring programs, and the monitor types of the same meaning."""


def _type_of(table: Table) -> MonitorType | None:
    name = table.text("type", default=None)
    if name is None:
        for key, implied in IMPLIED_TYPES.items():
            if key in table:
                return MONITOR_TYPES[implied]
        marks = ("type", *IMPLIED_TYPES)
        hint = 'write url = "https://…" for an http monitor, or type = "…"'
        for key in table.written:
            if (near := nearest(key, marks)) is not None:
                hint = f"did you mean {near} instead of {key_text((key,))}?"
        if (dotted := table.dotted_name(marks)) is not None:
            hint = f'quote a name that contains dots: write [monitors."{dotted}"]'
        table.error("", "has no type", hint)
        return None
    try:
        kind = monitor_type(name)
    except Exception as error:  # noqa: BLE001 - a third party's module may fail to load in any way
        table.error(
            "type", f"{value_text(name)} cannot be loaded: {error!r}", "see the package that provides it"
        )
        return None
    if kind is None:
        known = monitor_type_names()
        near = _FOREIGN_TYPES.get(name)
        hint = f"did you mean {value_text(near)}?" if near else did_you_mean(name, known, show=value_text)
        hint = hint or f"write one of: {', '.join(known)}"
        table.error("type", f"{value_text(name)} is not a monitor type", hint)
    return kind


def _common(table: Table, kind: MonitorType | None = None) -> dict[str, Any]:
    """Read the settings that all monitors have, with the defaults of the monitor type."""
    tags = table.values("tags", _tag, default=())
    slo, is_objective = table.raw("slo"), kind is not None and kind.type_name == OBJECTIVE
    # False: a monitor has none, although [defaults] have.
    has_objective = slo is not None and slo is not False and not is_objective
    return {
        **table.reuse(_schedule, kind),
        "tags": tuple(dict.fromkeys(tags)),
        "context": table.reuse(_context),
        "objective": read_objective(table.table("slo")) if has_objective else None,
        **table.reuse(_voting),
    }


def _voting(table: Table) -> dict[str, Any]:
    """Read which locations of a cluster check the monitor, and how many of them must agree."""
    quorum: Quorum
    if isinstance(table.raw("quorum"), int):
        quorum = table.integer("quorum", default=1, minimum=1)
    else:
        quorum = table.value("quorum", _quorum, default=cast("Quorum", "majority"))
    locations = table.values("locations", check_location, default=())
    return {"locations": tuple(dict.fromkeys(locations)), "quorum": quorum}


def _quorum(text: str) -> Quorum:
    """Parse the name of a quorum. Raises InvalidValueError."""
    for quorum in QUORUM_NAMES:
        if text == quorum:
            return quorum
    raise InvalidValueError("is not a quorum", 'write "majority", "any", "all" or a number of locations')


def _schedule(table: Table, kind: MonitorType | None) -> dict[str, Any]:
    policy = HealthPolicy() if kind is None else kind.default_policy
    period_s = DEFAULT_CHECK_EVERY_S if kind is None else kind.default_check_every_s
    check_every_s = table.duration(
        "check_every", default=period_s, minimum=SHORTEST_PERIOD_S, maximum=LONGEST_PERIOD_S
    )
    # Only a configured timeout is an error; the default is reduced to check_every.
    default_timeout_s = DEFAULT_TIMEOUT_S if kind is None else kind.default_timeout_s
    timeout_s = table.duration("timeout", default=min(default_timeout_s, check_every_s), minimum=0.01)
    if timeout_s > check_every_s:
        # The error is at the key that the monitor itself sets, if it inherits the other.
        timeout, check_every = format_duration(timeout_s), format_duration(check_every_s)
        if "timeout" in table or "check_every" not in table:
            table.error(
                "timeout",
                f'"{timeout}" exceeds check_every, which is "{check_every}"',
                f'write at most "{check_every}", or make check_every longer',
            )
        else:
            table.error(
                "check_every",
                f'"{check_every}" is less than timeout, which is "{timeout}"',
                f'also write timeout = "{check_every}" or less',
            )
    policy = HealthPolicy(
        fail_after=table.integer("fail_after", default=policy.fail_after, minimum=1, maximum=1000),
        degrade_after=table.integer("degrade_after", default=policy.degrade_after, minimum=1, maximum=1000),
        recover_after=table.integer("recover_after", default=policy.recover_after, minimum=1, maximum=1000),
        detects_flapping=table.flag("flapping", default=policy.detects_flapping),
    )
    retry_every_s = table.duration("retry_every", default=RETRY_EVERY_S, minimum=SHORTEST_PERIOD_S)
    return {
        "check_every_s": check_every_s,
        "timeout_s": timeout_s,
        "retry_every_s": min(retry_every_s, check_every_s),
        "policy": policy,
        "invert": table.flag("invert", default=False),
    }


def _context(table: Table) -> MonitorContext:
    return MonitorContext(
        title=table.value("title", _title, default=""),
        description=table.value("description", _description, default=""),
        runbook=table.value("runbook", _web_address, default=""),
        contact=table.value("contact", _contact, default=""),
        severity=table.choice("severity", Severity, default=Severity.CRITICAL),
    )


def _title(text: str) -> str:
    return _line(text, MAX_TITLE_CHARACTERS)


def _contact(text: str) -> str:
    return _line(text, MAX_CONTACT_CHARACTERS)


def _line(text: str, max_characters: int) -> str:
    """Require one printable line. Raises InvalidValueError."""
    if not text.isprintable():
        raise InvalidValueError(
            "contains a line break or an invisible character",
            "write one line of letters, digits, punctuation and spaces",
        )
    if len(text) > max_characters:
        raise InvalidValueError(f"is longer than {max_characters} characters", "shorten it")
    return text.strip()


def _description(text: str) -> str:
    """Require printable lines. Raises InvalidValueError."""
    if not all(line.isprintable() for line in text.replace("\t", " ").splitlines()):
        raise InvalidValueError(
            "contains a control character or an invisible character",
            "write letters, digits, punctuation, spaces and line breaks",
        )
    if len(text) > MAX_DESCRIPTION_CHARACTERS:
        hint = "shorten it, and write the address of a longer text as runbook"
        raise InvalidValueError(f"is longer than {MAX_DESCRIPTION_CHARACTERS} characters", hint)
    return text.strip()


def _web_address(text: str) -> str:
    """An absolute URL that people open in a browser, or an empty text. Raises InvalidValueError."""
    if not text:
        return ""
    try:
        url = urlsplit(text)
        is_valid = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or re.search(r"[^!-~\u00a1-\U0010ffff]", text) or not text.isprintable():
        raise InvalidValueError("is not a web address", 'write an address such as "https://www.example.org/"')
    if len(text) > MAX_ADDRESS_CHARACTERS:
        raise InvalidValueError(f"is longer than {MAX_ADDRESS_CHARACTERS} characters", "shorten it")
    return text


def _public_url(text: str) -> str:
    """Require a URL without query and fragment; remove the final slash. Raises InvalidValueError."""
    if re.search(r"[?#]", _web_address(text)):
        raise InvalidValueError("has a query or a fragment", 'write "https://status.example.org/"')
    return text.rstrip("/")


def _tag(text: str) -> str:
    """Parse a tag. Raises InvalidValueError."""
    if not text.isprintable():
        raise InvalidValueError(
            "contains a control character or an invisible character",
            "write letters, digits, punctuation and spaces",
        )
    return text
