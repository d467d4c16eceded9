"""Uptime Kuma: the JSON backup of version 1, and the SQLite database (kuma.db) of versions 1 and 2.

The backup and the database have the same values under names such as `retryInterval` and `retry_interval`; here they are
compared without case and underscores. Of the database, only the tables of the configuration are read, with a limit of
rows and of work: it may have been written by another program.
"""

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from urllib.parse import parse_qs, quote, unquote, urlsplit
from zoneinfo import ZoneInfo

from monitord.cli.importing.conversion import (
    address_of,
    clean_tag,
    escaped_pattern,
    host_and_port,
    json_path,
    json_value,
    literal,
    status_condition,
)
from monitord.cli.importing.draft import Draft, DraftSection, quoted
from monitord.cli.importing.source import (
    FieldError,
    ImportSource,
    SourceError,
    SourceField,
    json_of,
    naming_file,
)
from monitord.cli.importing.toml_text import TomlValue
from monitord.units import format_duration

MAX_ROWS = 20_000
MAX_SQLITE_STEPS = 50_000_000
_STEPS_AT_ONCE = 100_000
MAX_CELL_BYTES = 1 << 20
MAX_DATABASE_CHARACTERS = 64 << 20
"""The total size of all texts that are read; a database is larger, because it contains the history."""

DEFAULT_INTERVAL_S = 60.0
DEFAULT_PACKET_BYTES = 56
EXPIRY_WARNING = "21d"
"""The first of the default days (7, 14, 21) before the expiry on which Uptime Kuma sends a notification."""

_TABLES = (
    *("monitor", "notification", "monitor_notification", "tag", "monitor_tag", "proxy"),
    *("maintenance", "monitor_maintenance", "status_page", "docker_host"),
)
_CONTENT_TYPES = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "xml": "application/xml",
}
_OPERATORS = {"==", "!=", "<", "<=", ">", ">="}
_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")

Rows = list[SourceField]


def recognizes(document: object) -> bool:
    return isinstance(document, dict) and isinstance(document.get("monitorList"), list)


def translate(sources: Sequence[ImportSource], draft: Draft) -> None:
    for source in sources:
        tables: Mapping[str, Rows]
        if source.is_database:
            tables = _tables_of_database(source)
        else:
            backup = SourceField(json_of(source))
            keys = {"monitor": "monitorList", "notification": "notificationList", "proxy": "proxyList"}
            with naming_file(source):
                tables = {name: _rows(backup.get(key), name) for name, key in keys.items()}
        with naming_file(source):
            _KumaTranslation(draft, tables).run()


# Reading


def _rows(field: SourceField, kind: str) -> Rows:
    rows = []
    for index, item in enumerate(field.items()[:MAX_ROWS]):
        if not isinstance(item.value, Mapping):
            raise FieldError(f"{item.path} is not a mapping")
        rows.append(_row(item.value, f"{kind} {item.value.get('id', index)}"))
    return rows


def _row(values: Mapping[str, object], path: str) -> SourceField:
    return SourceField({str(key).replace("_", "").lower(): value for key, value in values.items()}, path)


def _tables_of_database(source: ImportSource) -> Mapping[str, Rows]:
    steps = 0

    def count_steps() -> int:
        nonlocal steps
        steps += _STEPS_AT_ONCE
        return int(steps > MAX_SQLITE_STEPS)

    uri = f"file:{quote(str(source.path))}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CELL_BYTES)
            connection.set_progress_handler(count_steps, _STEPS_AT_ONCE)
            connection.text_factory = lambda content: content.decode(errors="replace")
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA query_only = ON")
            # A view could contain any query, under the name of a table.
            names = {
                name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            }
            if "monitor" not in names:
                raise SourceError(
                    f"{source.name}: is not a database of Uptime Kuma: it has no table monitor",
                    hint="import data/kuma.db",
                )
            tables: dict[str, Rows] = {}
            room = MAX_DATABASE_CHARACTERS
            for name in _TABLES:
                if name in names:
                    tables[name] = []
                    for row, characters in _read_table(connection, name):
                        room -= characters
                        if room < 0:
                            raise SourceError(
                                f"{source.name}: its configuration is larger than {MAX_DATABASE_CHARACTERS >> 20} MiB"
                            )
                        tables[name].append(row)
            return tables
    except (sqlite3.Error, OverflowError) as error:
        raise SourceError(
            f"{source.name}: cannot be read: {error}",
            hint="copy kuma.db together with kuma.db-wal and kuma.db-shm, while Uptime Kuma is stopped",
        ) from None


def _read_table(connection: sqlite3.Connection, name: str) -> Iterator[tuple[SourceField, int]]:
    """Yield each row, and the number of its characters."""
    cursor = connection.execute(f'SELECT * FROM "{name}" LIMIT {MAX_ROWS}')  # noqa: S608 - a name from the list above
    columns = [description[0] for description in cursor.description]
    for index, values in enumerate(cursor):
        row = dict(zip(columns, values, strict=True))
        characters = sum(len(value) for value in values if isinstance(value, str | bytes))
        yield _row(row, f"{name} {row.get('id', index)}"), characters


# Translation


class _KumaTranslation:
    """The monitors and notifiers of one file, by their ids."""

    def __init__(self, draft: Draft, tables: Mapping[str, Rows]) -> None:
        self._draft = draft
        self._tables = tables
        self._monitors: dict[str, DraftSection] = {}
        self._notifiers: dict[str, DraftSection] = {}
        self._proxies = {_id_of(row, "id"): row for row in tables.get("proxy", [])}
        self._docker_hosts = {_id_of(row, "id"): row for row in tables.get("docker_host", [])}
        self._tags = {_id_of(row, "id"): row for row in tables.get("tag", [])}
        self._children: dict[str, list[DraftSection]] = {}
        self._index: dict[tuple[str, str], dict[str, Rows]] = {}

    def run(self) -> None:
        for name, rows in self._tables.items():
            if len(rows) == MAX_ROWS:
                self._draft.leave_out(name, f"only the first {MAX_ROWS} are read")
        for row in self._tables.get("notification", []):
            self._read_notifier(row)
        for row in self._tables["monitor"]:
            self._read_monitor(row)
        for identifier, children in self._children.items():
            group = self._monitors.get(identifier)
            if group is not None and group.values.get("type") == "group":
                group.references["members"] = children
        for row in self._tables.get("maintenance", []):
            try:
                self._read_maintenance(row)
            except ValueError as error:
                self._draft.leave_out(_name_of(row, "maintenance"), str(error))
        pages = self._tables.get("status_page", [])
        if pages:
            self._draft.leave_out(
                "status pages",
                "they are not translated; write a public page for each as [pages.NAME]",
            )

    def _related(self, table: str, row: SourceField, key: str) -> list[SourceField]:
        """The rows of a table that connects monitors with others."""
        if (table, key) not in self._index:
            by_id = self._index[table, key] = {}
            for other in self._tables.get(table, []):
                by_id.setdefault(_id_of(other, key), []).append(other)
        return self._index[table, key].get(_id_of(row, "id"), [])

    # Notifiers

    def _read_notifier(self, row: SourceField) -> None:
        section = self._draft.notifier(_name_of(row, "notification"))
        self._notifiers[_id_of(row, "id")] = section
        try:
            content = row.get("config").value
            if isinstance(content, str):
                content = _parsed(content, row.get("config").path)
            config = SourceField(content, section.title)
            values = section.values
            kind = config.get("type").text()
            match kind:
                case "smtp":
                    _read_mail(config, section)
                case _ if kind in _SERVICES:
                    _read_service(config, section)
                case "PagerDuty":
                    values["routing_key"] = config.get("pagerdutyIntegrationKey").text()
                    url = config.get("pagerdutyIntegrationUrl").text()
                    if url:
                        values["url"] = url
                case "webhook":
                    values["type"], values["url"] = "webhook", config.get("webhookURL").text()
                    text = config.get("webhookAdditionalHeaders").text()
                    if text:
                        values["headers"] = SourceField(
                            _parsed(text, "webhookAdditionalHeaders"), "headers"
                        ).text_table()
                    section.leave_out(
                        "body",
                        "the JSON of monitord has other keys; body can be set, see monitord-notifiers(5)",
                    )
                case _:
                    values["type"], values["url"] = "webhook", "https://www.example.org/"
                    section.disable(
                        f"monitord has no notifier for {kind or 'this service'}; "
                        "its API can be used with type webhook and body"
                    )
            if not row.get("active").flag(default=True):
                section.disable("it is inactive in Uptime Kuma")
        except ValueError as error:
            section.disable(str(error))

    # Monitors

    def _read_monitor(self, row: SourceField) -> None:
        name = _name_of(row, "monitor")
        section = self._draft.monitor(name, f"{name}-{row.get('type').text()}")
        self._monitors[_id_of(row, "id")] = section
        if row.get("parent"):
            self._children.setdefault(_id_of(row, "parent"), []).append(section)
        try:
            description = row.get("description").text()
            if description:
                section.remarks.append(description)
            kind = row.get("type").text()
            self._read_type(kind, row, section)
            self._read_common(kind, row, section)
        except ValueError as error:
            if "url" not in section.values:
                section.values.setdefault("type", "group")
            section.disable(str(error))
        if not row.get("active").flag(default=True):
            section.disable("it is paused in Uptime Kuma")

    def _read_common(self, kind: str, row: SourceField, section: DraftSection) -> None:
        values = section.values
        interval_s = max(row.get("interval").number(DEFAULT_INTERVAL_S), 1.0)
        retries = int(row.get("maxretries").number())
        retry_s = row.get("retryinterval").number() or interval_s
        if kind not in {"push", "group"}:
            # Version 1 before 1.23 has no timeout, and uses four fifths of the interval.
            timeout_s = row.get("timeout").number() or interval_s * 0.8
            section.set_durations(interval_s, timeout_s, retry_s if retries else None)
            values["fail_after"] = retries + 1
        if row.get("upsidedown").flag() and kind not in {"push", "group"}:
            values["invert"] = True
        embedded = row.get("tags").items() if row.get("tags") else []
        rows = [_row(tag.value, tag.path) for tag in embedded if isinstance(tag.value, Mapping)]
        tags: list[str] = []
        for item in [*rows, *self._related("monitor_tag", row, "monitorid")]:
            name = self._tags.get(_id_of(item, "tagid"), item).get("name").text()
            value = item.get("value").text()
            tags += filter(None, [clean_tag(f"{name}:{value}" if value else name)])
        if tags:
            values["tags"] = list(dict.fromkeys(tags))
        chosen = [
            identifier for identifier, flag in row.get("notificationidlist").members().items() if flag.value
        ]
        chosen += [
            _id_of(other, "notificationid")
            for other in self._related("monitor_notification", row, "monitorid")
        ]
        section.notify = [
            self._notifiers[identifier] for identifier in chosen if identifier in self._notifiers
        ]
        resend = row.get("resendinterval").number()
        if resend:
            section.repeat_every_s = resend * interval_s

    def _read_type(  # noqa: C901, PLR0912 - a case for each type
        self, kind: str, row: SourceField, section: DraftSection
    ) -> None:
        values = section.values
        match kind:
            case "http" | "keyword" | "json-query":
                self._read_http(kind, row, section)
            case "port":
                values["type"] = "tcp"
                values["address"] = address_of(row.get("hostname").text(), int(row.get("port").number()))
            case "ping":
                values["type"], values["host"] = "icmp", row.get("hostname").text().strip("[]")
                size = int(row.get("packetsize").number(DEFAULT_PACKET_BYTES))
                if size != DEFAULT_PACKET_BYTES:
                    values["payload"] = size
                if row.get("pingcount").number():
                    values["count"] = int(row.get("pingcount").number())
            case "dns":
                self._read_dns(row, section)
            case "push":
                # A push monitor is down if no request arrives for the interval, and then for each retry.
                interval_s = max(row.get("interval").number(DEFAULT_INTERVAL_S), 1.0)
                grace_s = row.get("maxretries").number() * (row.get("retryinterval").number() or interval_s)
                section.values["type"] = "heartbeat"
                section.values["every"] = format_duration(interval_s)
                section.values["grace"] = format_duration(max(grace_s, 1.0))
                section.remarks.append(f"The job runs: monitorctl heartbeat {section.name}")
            case "websocket-upgrade":
                values["type"], values["url"] = "websocket", row.get("url").text()
            case "postgres":
                _read_sql(row, section, "postgresql", 5432)
            case "mysql":
                _read_sql(row, section, "mysql", 3306)
            case "docker":
                section.values["container"] = row.get("dockercontainer").text()
                section.values["type"] = "container"
                docker_host = self._docker_hosts.get(_id_of(row, "dockerhost"))
                if docker_host is not None:
                    daemon = docker_host.get("dockerdaemon").text()
                    if docker_host.get("dockertype").text() != "socket":
                        section.disable("the containers of another host cannot be read; run monitord there")
                    elif daemon not in {"", "/var/run/docker.sock", "/run/docker.sock"}:
                        section.values["socket"] = daemon
            case "group":
                values["type"] = "group"
                section.references["members"] = []
            case _:
                # The commented section keeps the address, for the user to continue from.
                host = row.get("hostname").text() or urlsplit(row.get("url").text()).hostname or ""
                values["type"] = kind or "unknown"
                if host:
                    values["host"] = host
                section.disable(f"monitord has no counterpart of type {kind or 'unknown'}")

    def _read_http(self, kind: str, row: SourceField, section: DraftSection) -> None:
        values = section.values
        url = row.get("url").text()
        values["url"] = url
        _read_request(row, section)
        if row.get("ignoretls").flag():
            values["verify"] = False
        if row.get("maxredirects").value is not None and not row.get("maxredirects").number():
            values["follow_redirects"] = False
        family = row.get("ipfamily").text()
        if family in {"ipv4", "ipv6"}:
            values["ip_family"] = int(family[-1])
        _read_authentication(row, section)
        if row.get("proxyid"):
            self._read_proxy(self._proxies.get(_id_of(row, "proxyid")), section)
        conditions = [_statuses_of(row)]
        if kind == "keyword":
            keyword = literal(row.get("keyword").text())
            inverted = row.get("invertkeyword").flag()
            conditions.append(f"not body contains {keyword}" if inverted else f"body contains {keyword}")
        elif kind == "json-query":
            conditions.append(_json_condition(row))
        values["up_when"] = conditions
        if (
            row.get("expirynotification").flag()
            and url.startswith("https:")
            and not row.get("ignoretls").flag()
        ):
            values["degraded_when"] = [f"certificate.expires_in < {EXPIRY_WARNING}"]

    def _read_proxy(self, proxy: SourceField | None, section: DraftSection) -> None:
        if proxy is None:
            section.disable("its proxy is not in the file")
            return
        protocol = proxy.get("protocol").text()
        if protocol != "http":
            section.disable(f"monitord has no proxies with the protocol {protocol}")
        credentials = ""
        if proxy.get("auth").flag():
            user, password = proxy.get("username").text(), proxy.get("password").text()
            credentials = f"{quote(user, safe='')}:{quote(password, safe='')}@"
        address = address_of(proxy.get("host").text(), int(proxy.get("port").number()))
        section.values["proxy"] = f"http://{credentials}{address}"

    def _read_dns(self, row: SourceField, section: DraftSection) -> None:
        values = section.values
        values["type"], values["name"] = "dns", row.get("hostname").text()
        values["record_type"] = row.get("dnsresolvetype").text("A")
        servers = [
            server.strip() for server in row.get("dnsresolveserver").text().split(",") if server.strip()
        ]
        if servers:
            values["server"] = servers[0].strip("[]")
        if len(servers) > 1:
            section.leave_out("servers", f"only {servers[0]} is queried; a monitor queries one server")
        port = int(row.get("port").number(53))
        if port != 53:  # noqa: PLR2004 - the port of DNS
            values["port"] = port
        if row.get("conditions").value not in (None, "", "[]", []):
            section.leave_out("conditions", "write them with dns.answers, see monitord-monitors(5)")

    # Maintenance

    def _read_maintenance(self, row: SourceField) -> None:
        title = row.get("title").text() or "maintenance"
        section = self._draft.add("maintenance", title)
        section.title = f"maintenance {title}"
        monitors = [
            self._monitors.get(_id_of(other, "monitorid"))
            for other in self._related("monitor_maintenance", row, "maintenanceid")
        ]
        section.references["monitors"] = [monitor for monitor in monitors if monitor is not None]
        strategy = row.get("strategy").text()
        try:
            if strategy == "single":
                start, end = (_moment(row.get(key).text(), row) for key in ("startdate", "enddate"))
                if end <= datetime.now(UTC):
                    section.disable("it has ended")
                section.values["from"], section.values["until"] = start, end
            else:
                _read_recurring_window(strategy, row, section)
        except ValueError as error:
            section.values.setdefault("schedule", "daily")
            section.disable(str(error))
        if not row.get("active").flag(default=True):
            section.disable("it is inactive in Uptime Kuma")


def _id_of(row: SourceField, key: str) -> str:
    return row.get(key).text()


def _name_of(row: SourceField, kind: str) -> str:
    try:
        name = row.get("name").text().strip()
    except FieldError:
        name = ""
    return name or f"{kind}-{row.path.rpartition(' ')[2]}"


def _parsed(text: str, path: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise FieldError(f"{path} is not JSON") from None


def _read_request(row: SourceField, section: DraftSection) -> None:
    method, body = row.get("method").text("GET"), row.get("body").text()
    if method != "GET" or body:
        section.values["method"] = method
    headers: dict[str, TomlValue] = {}
    if row.get("headers").text():
        parsed = SourceField(_parsed(row.get("headers").text(), "headers"), "headers")
        headers.update(parsed.text_table())
    if body:
        section.values["body"] = body
        content_type = _CONTENT_TYPES.get(row.get("httpbodyencoding").text("json"), "text/plain")
        if not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = content_type
    if headers:
        section.values["headers"] = headers


def _read_authentication(row: SourceField, section: DraftSection) -> None:
    method = row.get("authmethod").text()
    user = row.get("basicauthuser").text()
    if method in {"", "basic"} and user:
        section.values["basic_auth"] = {"username": user, "password": row.get("basicauthpass").text()}
    elif method == "mtls":
        section.disable(
            "save tlsCert, tlsKey and tlsCa as files, and write client_certificate_file, client_key_file and ca_file"
        )
    elif method not in {"", "basic"}:
        section.disable(f"monitord has no authentication with {method}")


def _read_sql(row: SourceField, section: DraftSection, type_name: str, default_port: int) -> None:
    values = section.values
    values["type"] = type_name
    text = row.get("databaseconnectionstring").text()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port or default_port
        parameters = parse_qs(parts.query)
    except ValueError:
        host, port, parameters = None, default_port, {}
        parts = urlsplit("")
    if not host:
        # It may contain a password, so it is not quoted.
        section.disable("the connection string is not a URL with a host")
        return
    values["address"] = address_of(host, port)
    values["username"] = unquote(parts.username or "")
    password = unquote(parts.password or "") or row.get("radiuspassword").text()  # of a database in version 2
    if password:
        values["password"] = password
    database = unquote(parts.path.removeprefix("/")) or (
        values["username"] if type_name == "postgresql" else ""
    )
    if database:
        values["database"] = database
    modes = parameters.pop("sslmode", [])
    if modes and modes[-1] not in {"disable", "allow", "prefer"}:
        values["tls"] = True
        if modes[-1] == "no-verify":
            values["verify"] = False
    query = row.get("databasequery").text()
    if query:
        values["query"] = query
    if parameters:
        section.leave_out("parameters of the connection", ", ".join(sorted(parameters)))


def _statuses_of(row: SourceField) -> str:
    field = row.get("acceptedstatuscodes")
    if not field:
        field = row.get("acceptedstatuscodesjson")
        if isinstance(field.value, str):
            field = SourceField(_parsed(field.value, field.path), field.path)
    ranges = []
    for text in field.texts() or ["200-299"]:
        match = re.fullmatch(r"([1-9][0-9]{2})(?:-([1-9][0-9]{2}))?", text)
        if match is None:
            raise FieldError(f"accepted_statuscodes: {quoted(text)} is not a status or a range")
        ranges.append((int(match[1]), int(match[2] or match[1])))
    return status_condition(ranges)


def _json_condition(row: SourceField) -> str:
    text, expected = row.get("jsonpath").text("$"), row.get("expectedvalue").text()
    path = json_path(text)
    if path is None:
        raise FieldError(f"jsonPath {quoted(text)} is an expression of JSONata, not a path")
    operator = row.get("jsonpathoperator").text("==") or "=="
    field = f"json({literal(path)})"
    if operator == "contains":
        return f"{field} matches {literal(escaped_pattern(expected))}"
    if operator not in _OPERATORS:
        raise FieldError(f"jsonPathOperator {quoted(operator)} is not known to this command")
    value = json_value(expected)
    if operator in {"==", "!="} and value.startswith("["):
        return f"{field} in {value}" if operator == "==" else f"not {field} in {value}"
    if operator not in {"==", "!="}:
        if not re.fullmatch(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?", expected):
            raise FieldError(f"expectedValue {quoted(expected)} is not a number")
        value = expected
    return f"{field} {operator} {value}"


def _moment(text: str, row: SourceField) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(_zone_of(row) or "UTC"))
    except (ValueError, OSError, KeyError):
        raise FieldError(f"{quoted(text)} is not a date and time") from None


def _zone_of(row: SourceField) -> str:
    zone = row.get("timezone").text()
    return "" if zone == "SAME_AS_SERVER" else zone


def _read_recurring_window(strategy: str, row: SourceField, section: DraftSection) -> None:
    if strategy not in {"recurring-interval", "recurring-weekday", "recurring-day-of-month"}:
        raise FieldError(f"the strategy {strategy} is not translated; write it as [maintenance.NAME]")
    start, end = (_minutes(row.get(key).text()) for key in ("starttime", "endtime"))
    match strategy:
        case "recurring-interval" if row.get("intervalday").number(1) == 1:
            days = "*-*-*"
        case "recurring-weekday":
            numbers = [int(item.number()) % 7 for item in _listed(row.get("weekdays"))]
            if not numbers:
                raise FieldError("it has no weekdays")
            days = f"{','.join(_WEEKDAYS[number] for number in sorted(set(numbers)))} *-*-*"
        case "recurring-day-of-month":
            dates = [item.text() for item in _listed(row.get("daysofmonth"))]
            if not dates or not all(date.isdecimal() for date in dates):
                raise FieldError("the last days of a month are not translated")
            days = f"*-*-{','.join(f'{int(date):02}' for date in dates)}"
        case _:
            raise FieldError("an interval of several days is not translated")
    zone = _zone_of(row)
    section.values["schedule"] = f"{days} {start // 60:02}:{start % 60:02}" + (f" {zone}" if zone else "")
    section.values["duration"] = format_duration(((end - start) % 1440 or 1440) * 60.0)


def _minutes(text: str) -> int:
    match = re.fullmatch(r"([0-2]?[0-9]):([0-5][0-9])(?::[0-9.]+)?", text)
    if match is None:
        raise FieldError(f"{quoted(text)} is not a time of day")
    return int(match[1]) * 60 + int(match[2])


def _listed(field: SourceField) -> list[SourceField]:
    return SourceField(_parsed(field.text("[]") or "[]", field.path), field.path).items()


# Notifications


_SERVICES = {
    "slack": ("slack", {"slackwebhookURL": "url"}),
    "mattermost": ("mattermost", {"mattermostWebhookUrl": "url"}),
    "rocket.chat": ("mattermost", {"rocketwebhookURL": "url"}),
    "discord": ("discord", {"discordWebhookUrl": "url"}),
    "teams": ("teams", {"webhookUrl": "url"}),
    "telegram": (
        "telegram",
        {"telegramBotToken": "token", "telegramChatID": "chat_id", "telegramServerUrl": "url"},
    ),
    "matrix": (
        "matrix",
        {"homeserverUrl": "url", "accessToken": "access_token", "internalRoomId": "room_id"},
    ),
    "ntfy": ("ntfy", {"ntfyserverurl": "url", "ntfytopic": "topic", "ntfyaccesstoken": "token"}),
    "gotify": ("gotify", {"gotifyserverurl": "url", "gotifyapplicationToken": "token"}),
    "Opsgenie": ("opsgenie", {"opsgenieApiKey": "api_key"}),
}
"""The notifier type for a kind of notification, and the options for its keys."""


def _read_service(config: SourceField, section: DraftSection) -> None:
    values = section.values
    values["type"], keys = _SERVICES[config.get("type").text()]
    for key, option in keys.items():
        text = config.get(key).text()
        if text:
            values[option] = text
    if config.get("opsgenieRegion").text() == "eu":
        values["url"] = "https://api.eu.opsgenie.com"
    user, password = config.get("ntfyusername").text(), config.get("ntfypassword").text()
    if user and "token" not in values:
        values["basic_auth"] = {"username": user, "password": password}


def _read_mail(config: SourceField, section: DraftSection) -> None:
    values = section.values
    recipients = [config.get(key).text() for key in ("smtpTo", "smtpCC", "smtpBCC")]
    values["to"] = [item.strip() for text in recipients for item in text.split(",") if item.strip()]
    port = int(config.get("smtpPort").number(25))
    values["server"] = host_and_port(address_of(config.get("smtpHost").text(), port))
    sender = config.get("smtpFrom").text()
    match = re.search(r"<([^<>]+)>\s*$", sender)
    if sender:
        values["from"] = match[1] if match else sender
    user, password = config.get("smtpUsername").text(), config.get("smtpPassword").text()
    if config.get("smtpSecure").flag():
        values["security"] = "tls"
    elif user:
        values["security"] = "starttls"
    if user:
        values["username"], values["password"] = user, password
    if config.get("smtpIgnoreTLSError").flag():
        values["verify"] = False
    if config.get("customSubject").text() or config.get("customBody").text():
        section.leave_out("customSubject and customBody", "the subject and the text are those of monitord")
