"""Monitor type `grpc`: the health of a gRPC server, by the standard protocol grpc.health.v1.

    type = "grpc"
    address = "api.example.org:443"
    service = "shop.Cart"

Without conditions, a check passes if the server reports SERVING. Specification:
https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from monitord import __version__
from monitord.conditions import Bounds, FieldType, Vocabulary
from monitord.config import Secret, Table
from monitord.errors import InvalidValueError
from monitord.model import Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.net import parse_endpoint
from monitord.net.base.addressing import host_and_port, parse_host
from monitord.net.base.errors import ExchangeError, FailureKind
from monitord.net.stream.client import Stream, StreamClient, StreamOutcome, StreamTarget
from monitord.net.stream.grpc import ALPN, HTTP_OK, STATUS_NAMES, GrpcCall, GrpcExchange, library_problem
from monitord.options.http import MIN_HEURISTIC_SECRET_CHARACTERS, SECRET_NAME
from monitord.options.stream import read_stream_target
from monitord.options.tls import (
    ONLY_WITH_TLS,
    STREAM_BOUNDS,
    STREAM_FIELDS,
    check_tls_keys,
    fields_of_stream,
)
from monitord.text import printable, shortened

MAX_MESSAGE_CHARACTERS = 200
MAX_SERVICE_CHARACTERS = 127
"""The length of the name is one byte of the request."""
PATH = "/grpc.health.v1.Health/Check"
SERVING_STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
"""The values of HealthCheckResponse.ServingStatus, by number."""

VOCABULARY = Vocabulary(
    {
        **STREAM_FIELDS,
        "grpc.serving_status": FieldType.TEXT,
        "grpc.status": FieldType.TEXT,
        "grpc.message": FieldType.TEXT,
        "status": FieldType.NUMBER,
    },
    {
        **STREAM_BOUNDS,
        "grpc.serving_status": Bounds(values=SERVING_STATUSES),
        "grpc.status": Bounds(values=STATUS_NAMES),
        "status": Bounds(least=100, most=999, is_whole=True),
    },
)
_METADATA_NAME = re.compile(r"[0-9a-z_.-]+", re.ASCII)
_METADATA_VALUE = re.compile(r"[\x20-\x7e]*", re.ASCII)
_RESERVED = re.compile(r"grpc-|content-type$|te$|user-agent$|host$|connection$")
_SERVICE = re.compile(r"[\w.]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class GrpcOptions:
    """`service` is empty for the server as a whole. `hidden`: values of metadata that are not plain text."""

    target: StreamTarget
    service: str = ""
    authority: str = ""
    metadata: tuple[tuple[str, Secret], ...] = ()
    hidden: tuple[Secret, ...] = ()


class GrpcMonitor(Monitor[GrpcOptions]):
    type_name: ClassVar[str] = "grpc"
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        options = self.options
        self._client = StreamClient(tools.resolver, tools.tls_contexts)
        self.uses_network = options.target.crosses_network
        service = options.service.encode()
        self._call = GrpcCall(
            authority=options.authority,
            path=PATH,
            # HealthCheckRequest { string service = 1; }: an empty string is omitted (proto3).
            message=b"\n" + bytes([len(service)]) + service if service else b"",
            timeout_s=settings.timeout_s,
            user_agent=f"monitord/{__version__}",
            metadata=tuple((name, value.reveal()) for name, value in options.metadata),
        )
        self._subject = f"{options.target}/{options.service}" if options.service else str(options.target)

    @property
    def pool(self) -> str | None:
        return self.options.target.host

    @classmethod
    def belongs_to_host(cls, options: GrpcOptions) -> bool:
        return not options.target.crosses_network

    @classmethod
    def read_options(cls, table: Table) -> GrpcOptions:
        if problem := library_problem():
            table.ignore_others()
            table.error("type", f'"grpc" needs h2: {problem}', "install the package python3-h2")
            return GrpcOptions(StreamTarget("localhost", 1))
        host, port = table.value("address", _address, default=("localhost", 1), required=True)
        uses_tls = table.flag("tls", default=False)
        target = read_stream_target(table, host, port, begins_with_tls=uses_tls, alpn=(ALPN,))
        if not uses_tls:
            check_tls_keys(table)
        written = table.raw_table("metadata")
        metadata, hidden = [], []  # hidden: not plain text in the configuration
        for name, value in table.secrets("metadata", default={}).items():
            lower = name.lower()
            if not _METADATA_NAME.fullmatch(lower):
                table.error("metadata", f"{name!r} is not a metadata key", "use letters, digits, _, - and .")
            elif _RESERVED.match(lower):
                table.error("metadata", f'the key "{name}" is set by monitord', "remove it")
            elif not _METADATA_VALUE.fullmatch(value.reveal()):
                table.error(
                    "metadata",
                    f'the value of "{name}" has characters other than printable ASCII',
                    'give the key a name that ends in "-bin", and write the value in base64',
                )
            else:
                metadata.append((lower, value))
                if not isinstance(written.get(name), str):
                    hidden.append(value)
        return GrpcOptions(
            target,
            service=table.value("service", _service, default=""),
            authority=table.value(
                "authority", _authority, default=host_and_port(host.partition("%")[0], port)
            ),
            metadata=tuple(metadata),
            hidden=tuple(hidden),
        )

    @classmethod
    def absent_fields(cls, options: GrpcOptions) -> Mapping[str, str]:
        return {} if options.target.begins_with_tls else ONLY_WITH_TLS

    def secrets(self) -> Iterable[str]:
        for name, value in self.options.metadata:
            text = value.reveal()
            if value in self.options.hidden or (
                len(text) >= MIN_HEURISTIC_SECRET_CHARACTERS and SECRET_NAME.search(name)
            ):
                yield text
                yield text.partition(" ")[2]  # the token of "Bearer TOKEN"

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        exchanges: list[GrpcExchange] = []
        serving: list[str] = []

        async def communicate(stream: Stream) -> None:
            exchange = GrpcExchange(stream)
            exchanges.append(exchange)
            await exchange.run(self._call)
            if exchange.status == "OK":
                try:
                    number = _status_number(exchange.message or b"")
                except (ValueError, IndexError):
                    raise ExchangeError(
                        FailureKind.PROTOCOL_ERROR, "the response is not a HealthCheckResponse"
                    ) from None
                serving.append(
                    SERVING_STATUSES[number] if number < len(SERVING_STATUSES) else f"STATUS_{number}"
                )

        deadline = watch.began_s + self.settings.timeout_s
        outcome = await self._client.run(self.options.target, communicate, deadline=deadline)
        exchange = exchanges[0] if exchanges else None
        fields = fields_of_stream(outcome, self.tools.clock.now())
        if exchange is not None:
            if exchange.http_status is not None:
                fields["status"] = exchange.http_status
            if exchange.status is not None:
                fields["grpc.status"] = exchange.status
                if exchange.status_message:
                    fields["grpc.message"] = self._text(exchange.status_message)
        if serving:
            fields["grpc.serving_status"] = serving[0]
        reason, result = self._evaluate(outcome, exchange, serving[0] if serving else None)
        return watch.observation(
            reason,
            f"{self._subject}: {result}, {outcome.duration_s:.3f} s",
            fields,
            outcome.address,
            subject=self._subject,
            outcome=result,
            shows_connectivity=True if outcome.received else None,
        )

    def _evaluate(
        self, outcome: StreamOutcome, exchange: GrpcExchange | None, serving: str | None
    ) -> tuple[Reason, str]:
        """Return the reason, and the result in words."""
        if outcome.failure is not None:
            return Reason(outcome.failure.value), self.masking.mask(printable(outcome.detail))
        if serving is not None:
            return (Reason.OK if serving == "SERVING" else Reason.CONDITION_FAILED), serving
        if exchange is None or exchange.status is None:
            status = exchange.http_status if exchange is not None else None
            if status not in {None, HTTP_OK}:
                return Reason.CONDITION_FAILED, f"HTTP {status} without a gRPC status"
            return Reason.PROTOCOL_ERROR, "the response has no gRPC status"
        text = f"gRPC status {exchange.status}"
        if exchange.status_message:
            text += f": {self._text(exchange.status_message)}"
        match exchange.status:
            case "NOT_FOUND" if self.options.service:
                text += f'; the server does not know the service "{self.options.service}"'
            case "UNIMPLEMENTED":
                text += "; the server does not implement grpc.health.v1"
        return Reason.CONDITION_FAILED, text

    def _text(self, received: str) -> str:
        return shortened(self.masking.mask(printable(received)), MAX_MESSAGE_CHARACTERS)


def _status_number(message: bytes) -> int:
    """Parse HealthCheckResponse { ServingStatus status = 1; }. The default 0 is omitted from a message (proto3).

    Other fields are skipped, as a later version may have some. Raises ValueError or IndexError.
    """
    number = index = 0
    while index < len(message):
        key, index = _varint(message, index)
        field, wire_type = key >> 3, key & 7
        match wire_type:
            case 0:
                value, index = _varint(message, index)
                number = value if field == 1 else number
            case 1 | 5:
                index += 8 if wire_type == 1 else 4
            case 2:
                size, index = _varint(message, index)
                index += size
            case _:
                raise ValueError
    if index != len(message):
        raise ValueError
    return number


def _varint(data: bytes, index: int) -> tuple[int, int]:
    """Return the number at the index, and the index after it. Raises ValueError or IndexError."""
    number = 0
    for shift in range(0, 64, 7):
        byte = data[index]
        index += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the bit that announces a further byte
            return number, index
    raise ValueError


# Reading


def _address(text: str) -> tuple[str, int]:
    try:
        endpoint = parse_endpoint(text)
        return parse_host(endpoint.host), endpoint.port
    except ValueError:
        raise InvalidValueError("is not an address", 'write "host:port" or "[address]:port"') from None


def _service(text: str) -> str:
    if not _SERVICE.fullmatch(text) or len(text) > MAX_SERVICE_CHARACTERS:
        raise InvalidValueError(
            "is not the name of a gRPC service", 'write "package.Service", or remove it for the whole server'
        )
    return text


def _authority(text: str) -> str:
    if not re.fullmatch(r"[!-~]{1,255}", text, re.ASCII) or "/" in text or "@" in text:
        raise InvalidValueError("is not an authority", 'write "host" or "host:port"')
    return text
