"""The type `tls`: a handshake, and the certificate of the peer.

    type = "tls"
    address = "www.example.org"
    degraded_when = ["certificate.expires_in < 14d"]

Without conditions, a check passes if the handshake succeeds and the certificate is valid. `starttls = "smtp"` requests
TLS from a mail server first.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

from monitord.clock import time_text
from monitord.conditions import Vocabulary
from monitord.config import Table
from monitord.errors import InvalidValueError
from monitord.model import Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.net import parse_endpoint
from monitord.net.base.addressing import parse_host
from monitord.net.stream.client import Stream, StreamClient, StreamTarget
from monitord.net.stream.starttls import StartTlsProtocol, send_quit, start_tls
from monitord.options.stream import read_stream_target
from monitord.options.tls import STREAM_BOUNDS, STREAM_FIELDS, fields_of_stream

HTTPS_PORT = 443
_PORTS = {StartTlsProtocol.SMTP: 25, StartTlsProtocol.IMAP: 143, StartTlsProtocol.POP3: 110}

VOCABULARY = Vocabulary(STREAM_FIELDS, STREAM_BOUNDS)


@dataclass(frozen=True, slots=True)
class TlsMonitorOptions:
    """`starttls` None: TLS from the start."""

    target: StreamTarget
    starttls: StartTlsProtocol | None = None


class TlsMonitor(Monitor[TlsMonitorOptions]):
    type_name: ClassVar[str] = "tls"
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self._client = StreamClient(tools.resolver, tools.tls_contexts)
        self.uses_network = self.options.target.crosses_network

    @property
    def pool(self) -> str | None:
        return self.options.target.host

    @classmethod
    def belongs_to_host(cls, options: TlsMonitorOptions) -> bool:
        return not options.target.crosses_network

    @classmethod
    def read_options(cls, table: Table) -> TlsMonitorOptions:
        starttls = table.choice("starttls", StartTlsProtocol, default=None)
        default_port = HTTPS_PORT if starttls is None else _PORTS[starttls]

        def address(text: str) -> tuple[str, int]:
            try:
                if text.endswith("]") or ":" not in text:
                    return parse_host(text), default_port
                endpoint = parse_endpoint(text)
                return parse_host(endpoint.host), endpoint.port
            except ValueError:
                raise InvalidValueError(
                    "is not a host, or a host and a port", 'write "host" or "host:port"'
                ) from None

        host, port = table.value("address", address, default=("localhost", default_port), required=True)
        target = read_stream_target(table, host, port, begins_with_tls=starttls is None)
        return TlsMonitorOptions(target, starttls)

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        target = self.options.target
        deadline = watch.began_s + self.settings.timeout_s
        outcome = await self._client.run(target, self._talk, deadline=deadline)
        fields = fields_of_stream(outcome, self.tools.clock.now())
        if outcome.failure is None:
            reason, result = Reason.OK, "no TLS" if outcome.tls is None else outcome.tls.version
            if outcome.tls is not None and outcome.tls.certificate is not None:
                result += f", certificate valid until {time_text(outcome.tls.certificate.expires_at)}"
        else:
            reason, result = Reason(outcome.failure.value), outcome.detail
        return watch.observation(
            reason,
            f"{target}: {result}, {outcome.duration_s:.3f} s",
            fields,
            outcome.address,
            subject=str(target),
            outcome=result,
            shows_connectivity=True if outcome.received else None,
        )

    async def _talk(self, stream: Stream) -> None:
        protocol = self.options.starttls
        if protocol is None:
            return
        await start_tls(stream, protocol)
        with suppress(OSError):  # the check is complete
            await send_quit(stream, protocol)


# Reading
