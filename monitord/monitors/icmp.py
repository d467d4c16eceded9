"""Monitor type `icmp`: echo requests, the number of replies and their round-trip times.

    type = "icmp"
    host = "gateway.example.org"

Without conditions, a check passes if there is at least one reply. The sockets need no privileges, but the sysctl
net.ipv4.ping_group_range must allow them (icmp(7)). If it does not, checks are inconclusive, and their results
describe the required change.

icmplib is imported only if there is a monitor of this type.
"""

import os
from dataclasses import dataclass
from typing import ClassVar

from monitord.conditions import COUNT, IP_VERSION, LATENCY, Bounds, FieldType, Vocabulary
from monitord.config import Table
from monitord.model import FieldValue, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.net import IpFamily
from monitord.net.base.addressing import NO_SOURCE, SourceAddresses, ip_version, parse_host
from monitord.net.ping import (
    ALLOW_HINT,
    MAX_COUNT,
    MAX_PAYLOAD_BYTES,
    IcmplibSocket,
    OpenEchoSocket,
    PingAnswers,
    Pinger,
    PingFailure,
    PingOutcome,
    are_pings_forbidden,
    library_problem,
)
from monitord.options.address import check_family
from monitord.options.source import check_source, read_source
from monitord.units import format_duration

DEFAULT_COUNT = 3
DEFAULT_INTERVAL_S = 0.2
SHORTEST_INTERVAL_S = 0.01
DEFAULT_PAYLOAD_BYTES = 56
"""The default of ping(8): 64 bytes with the ICMP header."""

VOCABULARY = Vocabulary(
    {
        "response_time": FieldType.DURATION,
        "phase.resolve": FieldType.DURATION,
        "address": FieldType.TEXT,
        "ip_version": FieldType.NUMBER,
        "ping.sent": FieldType.NUMBER,
        "ping.received": FieldType.NUMBER,
        "ping.loss_percent": FieldType.NUMBER,
        "ping.rtt": FieldType.DURATION,
        "ping.rtt_min": FieldType.DURATION,
        "ping.rtt_max": FieldType.DURATION,
    },
    {
        "response_time": LATENCY,
        "phase.resolve": LATENCY,
        "ip_version": IP_VERSION,
        "ping.sent": COUNT,
        "ping.received": COUNT,
        # A ratio such as 0.2 was written instead of a percentage: one of MAX_COUNT requests is more.
        "ping.loss_percent": Bounds(least=0, most=100, bare_least=1, unit="percent"),
        **dict.fromkeys(("ping.rtt", "ping.rtt_min", "ping.rtt_max"), LATENCY),
    },
)
"""`ping.loss_percent` in percent, from 0 to 100."""


@dataclass(frozen=True, slots=True)
class IcmpOptions:
    host: str
    count: int = DEFAULT_COUNT
    interval_s: float = DEFAULT_INTERVAL_S
    payload_bytes: int = DEFAULT_PAYLOAD_BYTES
    ip_family: IpFamily = IpFamily.ANY
    source: SourceAddresses = NO_SOURCE


class IcmpMonitor(Monitor[IcmpOptions]):
    type_name: ClassVar[str] = "icmp"
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(
        self, settings: MonitorSettings, tools: Tools, open_socket: OpenEchoSocket = IcmplibSocket
    ) -> None:
        super().__init__(settings, tools)
        self._pinger = Pinger(tools.resolver, open_socket)

    @property
    def pool(self) -> str | None:
        return self.options.host

    @classmethod
    def read_options(cls, table: Table) -> IcmpOptions:
        if problem := library_problem():
            table.ignore_others()
            table.error("type", f'"icmp" needs icmplib: {problem}', "install the package python3-icmplib")
            return IcmpOptions("")
        if are_pings_forbidden(to_everybody=table.is_read_by_other_user):
            group = "any group" if table.is_read_by_other_user else f"group {os.getegid()}"
            table.warn("type", f"ping sockets are not permitted for {group}", ALLOW_HINT)
        ip_family = table.choice("ip_family", IpFamily, default=IpFamily.ANY)
        options = IcmpOptions(
            host=table.value("host", parse_host, default="", required=True),
            count=table.integer("count", default=DEFAULT_COUNT, minimum=1, maximum=MAX_COUNT),
            interval_s=table.duration("interval", default=DEFAULT_INTERVAL_S, minimum=SHORTEST_INTERVAL_S),
            payload_bytes=table.size("payload", default=DEFAULT_PAYLOAD_BYTES, maximum=MAX_PAYLOAD_BYTES),
            ip_family=ip_family,
            source=read_source(table, ip_family),
        )
        check_family(table, options.host, options.ip_family)
        check_source(table, options.host, options.source)
        # Only a configured timeout can be compared here.
        timeout_s = table.duration("timeout", default=None)
        sending_s = (options.count - 1) * options.interval_s
        if timeout_s is not None and sending_s >= timeout_s:
            table.error(
                "timeout",
                f'"{format_duration(timeout_s)}" ends before the last request is sent, '
                f"after {format_duration(sending_s)}",
                "increase it, or reduce count or interval",
            )
        return options

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        options = self.options
        outcome = await self._pinger.ping(
            options.host,
            ip_family=options.ip_family,
            source=options.source,
            count=options.count,
            interval_s=options.interval_s,
            payload_bytes=options.payload_bytes,
            deadline=watch.began_s + self.settings.timeout_s,
        )
        reason, result = _evaluate(outcome)
        subject = f"ping {options.host}"
        detail = f"{subject}: {result}, {outcome.duration_s:.3f} s"
        fields: dict[str, FieldValue] = {}
        if outcome.address is not None:
            fields |= {"address": outcome.address, "ip_version": ip_version(outcome.address)}
        if isinstance(outcome, PingAnswers):
            rtts_s = outcome.rtts_s
            fields |= {
                "phase.resolve": outcome.resolve_s,
                "ping.sent": outcome.sent,
                "ping.received": len(rtts_s),
                "ping.loss_percent": outcome.loss_percent,
            }
            if rtts_s:
                fields |= {
                    "ping.rtt": sum(rtts_s) / len(rtts_s),
                    "ping.rtt_min": min(rtts_s),
                    "ping.rtt_max": max(rtts_s),
                }
                # So that a condition in [defaults] fits every type.
                fields["response_time"] = fields["ping.rtt"]
        return watch.observation(reason, detail, fields, outcome.address, subject=subject, outcome=result)


def _evaluate(outcome: PingOutcome) -> tuple[Reason, str]:
    """Return the reason, and the result in words."""
    if isinstance(outcome, PingFailure):
        return Reason(outcome.kind.value), outcome.detail
    if outcome.rtts_s:
        mean_ms = sum(outcome.rtts_s) / len(outcome.rtts_s) * 1000
        replies = f"{len(outcome.rtts_s)} of {outcome.sent} replies from {outcome.address}"
        return Reason.OK, f"{replies}, round trip {mean_ms:.3g} ms"
    if outcome.error is not None:
        return Reason.HOST_UNREACHABLE, f"{outcome.address}: {outcome.error}"
    return Reason.TIMEOUT_RESPONSE, f"0 of {outcome.sent} replies from {outcome.address}"
