"""Common parts of database types: address and TLS options, fields, and the result in words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from monitord.conditions import COUNT, Bounds, FieldType, Vocabulary
from monitord.config import Secret, Table
from monitord.errors import InvalidValueError
from monitord.model import FieldValue, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.net import IpFamily, parse_endpoint
from monitord.net.base.addressing import parse_host, parse_socket_path
from monitord.net.database.outcome import DatabaseOutcome
from monitord.net.stream.client import StreamTarget
from monitord.options.address import check_family, check_unix_socket_keys
from monitord.options.tls import (
    ONLY_WITH_TLS,
    STREAM_BOUNDS,
    STREAM_FIELDS,
    check_tls_keys,
    fields_of_stream,
    read_tls,
)
from monitord.text import printable, shortened

MAX_RESULT_CHARACTERS = 200
MAX_VERSION_CHARACTERS = 100

FIELDS = {
    **STREAM_FIELDS,
    "version": FieldType.TEXT,
    "value": FieldType.ANY,
    "connections": FieldType.NUMBER,
    "connections.max": FieldType.NUMBER,
    "connections.used_percent": FieldType.NUMBER,
    "replication.role": FieldType.TEXT,
}
PERCENT = Bounds(least=0, most=100)
BOUNDS = {
    **STREAM_BOUNDS,
    "connections": COUNT,
    "connections.max": COUNT,
    "connections.used_percent": PERCENT,
    "replication.role": Bounds(values=("primary", "replica")),
}


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """`command`: the words of the command, or the query alone, whose result is the field `value`."""

    target: StreamTarget
    user: str = ""
    password: Secret | None = None
    database: str = ""
    command: tuple[str, ...] = ()

    @property
    def password_text(self) -> str:
        return "" if self.password is None else self.password.reveal()


class DatabaseMonitor(Monitor[DatabaseOptions]):
    """Base class of the database types, which implement `query`."""

    command_key: ClassVar[str] = "command"
    command_fields: ClassVar[tuple[str, ...]] = ("value",)
    vocabulary: ClassVar[Vocabulary] = Vocabulary(FIELDS, BOUNDS)

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self.uses_network = self.options.target.crosses_network

    @property
    def pool(self) -> str | None:
        return self.options.target.host or None

    @classmethod
    def belongs_to_host(cls, options: DatabaseOptions) -> bool:
        return not options.target.crosses_network

    @classmethod
    def absent_fields(cls, options: DatabaseOptions) -> Mapping[str, str]:
        absent = {} if options.target.begins_with_tls else dict(ONLY_WITH_TLS)
        if not options.command:
            absent |= dict.fromkeys(cls.command_fields, f"needs the key {cls.command_key}")
        return absent

    def secrets(self) -> Iterable[str]:
        if self.options.password is not None:
            yield self.options.password.reveal()

    async def query(self, deadline: float) -> DatabaseOutcome:
        """Connect and query the server, at the latest until `deadline` (time.monotonic())."""
        raise NotImplementedError

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        outcome = await self.query(watch.began_s + self.settings.timeout_s)
        stream, target = outcome.stream, self.options.target
        fields: dict[str, FieldValue] = fields_of_stream(stream, self.tools.clock.now())
        if outcome.state is not None:
            state = outcome.state
            fields |= state.values
            for used, most in (("connections", "connections.max"), ("memory.used", "memory.max")):
                part, whole = fields.get(used), fields.get(most)
                if isinstance(part, int) and isinstance(whole, int) and whole > 0:
                    name = "memory.used_percent" if used == "memory.used" else "connections.used_percent"
                    fields[name] = round(100 * part / whole, 1)
            if isinstance(version := fields.get("version"), str):
                fields["version"] = shortened(printable(version), MAX_VERSION_CHARACTERS)
            if state.value is not None:
                fields["value"] = printable(state.value) if isinstance(state.value, str) else state.value
        reason, result = self._evaluate(outcome, fields)
        has_responded = outcome.state is not None or outcome.error is not None
        observation = watch.observation(
            reason,
            f"{target}: {result}, {stream.duration_s:.3f} s",
            fields,
            stream.address,
            subject=str(target),
            outcome=result,
            shows_connectivity=True if has_responded else None,
        )
        # After an error the fields are incomplete: `up_when` does not apply.
        return replace(observation, is_usable=outcome.error is None)

    def _evaluate(self, outcome: DatabaseOutcome, fields: Mapping[str, FieldValue]) -> tuple[Reason, str]:
        """Return the reason, and the result in words."""
        if outcome.error is not None:
            code, text = outcome.error.code, outcome.error.text
            return Reason.CONDITION_FAILED, self._shown(f"error {code}: {text}" if text else f"error {code}")
        if outcome.stream.failure is not None:
            return Reason(outcome.stream.failure.value), self._shown(outcome.stream.detail)
        version = fields.get("version")
        parts = [f"version {version}" if version else "connected"]
        if fields.get("replication.role") == "replica":
            parts.append("replica")
        if fields.get("replication.running") is False:
            return Reason.CONDITION_FAILED, ", ".join([*parts, "replication is not running"])
        return Reason.OK, ", ".join(parts)

    def _shown(self, text: str) -> str:
        return shortened(printable(self.masking.mask(text)), MAX_RESULT_CHARACTERS)


# Reading


def read_target(table: Table, *, default_port: int) -> StreamTarget:
    host, port, path = table.value(
        "address", partial(_address, default_port), default=("localhost", default_port, None), required=True
    )
    target = StreamTarget(
        host=host,
        port=port,
        socket_path=path,
        ip_family=table.choice("ip_family", IpFamily, default=IpFamily.ANY),
        begins_with_tls=table.flag("tls", default=False),
        tls=read_tls(table, alpn=()),
        server_name=table.value("server_name", parse_host, default=None),
    )
    is_unix = target.socket_path is not None
    if not target.begins_with_tls:
        check_tls_keys(table)
    elif is_unix:
        table.error("tls", "is not available on a Unix socket", "remove it")
    if is_unix:
        check_unix_socket_keys(table, "ip_family")
    else:
        check_family(table, target.host, target.ip_family)
    return target


def _address(default_port: int, text: str) -> tuple[str, int, str | None]:
    if text.startswith("unix:"):
        return "", 0, parse_socket_path(text)
    try:
        if ":" not in text or text.endswith("]"):
            return parse_host(text), default_port, None
        endpoint = parse_endpoint(text)
        return parse_host(endpoint.host), endpoint.port, None
    except ValueError:
        raise InvalidValueError(
            "is not an address", 'write "host", "host:port", "[address]:port" or "unix:/path"'
        ) from None
