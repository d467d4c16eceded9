"""Monitor type `dns`: one query to a name server.

    type = "dns"
    name = "www.example.org"
    server = "192.0.2.53"

Without conditions, a check passes if the answer is NOERROR with at least one record of the requested type. Without
`server` the name servers of resolv.conf(5) are queried in turn, as by the C library; they share the timeout.

dnspython is imported only if there is a monitor of this type.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import accumulate
from pathlib import Path
from typing import ClassVar

from monitord.conditions import COUNT, IP_VERSION, LATENCY, Bounds, FieldType, Vocabulary
from monitord.config import Table, value_text
from monitord.model import FieldValue, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.net import IpFamily, Phase, TlsOptions
from monitord.net.base.addressing import (
    NO_SOURCE,
    SourceAddresses,
    ip_version,
    parse_host,
)
from monitord.net.base.resolver import literal_address
from monitord.net.dns.client import (
    DnsAnswer,
    DnsClient,
    DnsFailure,
    DnsOutcome,
    DnsProtocol,
    DnsQuestion,
    DnsServer,
    library_problem,
)
from monitord.options.address import check_family
from monitord.options.source import check_source, read_source
from monitord.options.tls import ONLY_WITH_TLS, PHASE_FIELDS, TLS_BOUNDS, check_files, check_tls_keys
from monitord.text import counted, shortened

RESOLV_CONF = Path("/etc/resolv.conf")
MAX_RESOLV_CONF_BYTES = 64 * 1024
MAX_SYSTEM_SERVERS = 3
"""The limit of the C library: MAXNS of resolv.conf(5)."""

MAX_ANSWERS_CHARACTERS = 16 * 1024
MAX_SHOWN_CHARACTERS = 200
MAX_PORT = 65535

_PORTS = {DnsProtocol.UDP: 53, DnsProtocol.TCP: 53, DnsProtocol.TLS: 853}
_QUERY_NEXT = frozenset({"SERVFAIL", "NOTIMP", "REFUSED"})
"""Response codes after which the C library queries the next server of the system."""

VOCABULARY = Vocabulary(
    {
        "response_time": FieldType.DURATION,
        **{f"phase.{phase.value}": FieldType.DURATION for phase in Phase if phase is not Phase.TRANSFER},
        "address": FieldType.TEXT,
        "ip_version": FieldType.NUMBER,
        "dns.rcode": FieldType.TEXT,
        "dns.answers": FieldType.TEXTS,
        "dns.answer_count": FieldType.NUMBER,
        "dns.ttl": FieldType.DURATION,
        "dns.serial": FieldType.NUMBER,
        "dns.authoritative": FieldType.FLAG,
        "dns.authenticated": FieldType.FLAG,
        "dns.protocol": FieldType.TEXT,
        "dns.truncated": FieldType.FLAG,
        "tls.version": FieldType.TEXT,
        "tls.cipher": FieldType.TEXT,
        "certificate.expires_in": FieldType.DURATION,
    },
    {
        "response_time": LATENCY,
        **{f"phase.{phase.value}": LATENCY for phase in Phase if phase is not Phase.TRANSFER},
        "ip_version": IP_VERSION,
        "dns.answer_count": COUNT,
        "dns.serial": Bounds(least=0, most=2**32 - 1, is_whole=True),
        **TLS_BOUNDS,
    },
)


@dataclass(frozen=True, slots=True)
class DnsOptions:
    """`server` None: the name servers of the system."""

    question: DnsQuestion
    server: str | None = None
    port: int = 53
    protocol: DnsProtocol = DnsProtocol.UDP
    ip_family: IpFamily = IpFamily.ANY
    source: SourceAddresses = NO_SOURCE
    tls: TlsOptions = field(default_factory=TlsOptions)
    server_name: str | None = None

    def at(self, host: str) -> DnsServer:
        return DnsServer(
            host=host,
            port=self.port,
            protocol=self.protocol,
            ip_family=self.ip_family,
            source=self.source,
            tls=self.tls,
            server_name=self.server_name,
        )


class DnsMonitor(Monitor[DnsOptions]):
    type_name: ClassVar[str] = "dns"
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(self, settings: MonitorSettings, tools: Tools, resolv_conf: Path = RESOLV_CONF) -> None:
        super().__init__(settings, tools)
        self._client = DnsClient(tools.resolver, tools.tls_contexts)
        self._resolv_conf = resolv_conf

    @property
    def pool(self) -> str | None:
        return self.options.server

    @classmethod
    def read_options(cls, table: Table) -> DnsOptions:
        if problem := library_problem():
            table.ignore_others()
            table.error("type", f'"dns" needs dnspython: {problem}', "install the package python3-dnspython")
            return DnsOptions(DnsQuestion("."))
        from monitord.net.dns.message import (  # noqa: PLC0415 - a library that need not be there
            parse_name,
            parse_record_type,
            reverse_name,
        )

        record_type = table.value("record_type", parse_record_type, default="A")
        parse: Callable[[str], str] = reverse_name if record_type == "PTR" else parse_name
        protocol = table.choice("protocol", DnsProtocol, default=DnsProtocol.UDP)
        ip_family = table.choice("ip_family", IpFamily, default=IpFamily.ANY)
        ca_file = table.text("ca_file", default=None)
        if ca_file is not None and not ca_file.startswith("/"):
            table.error(
                "ca_file",
                f"{value_text(ca_file)} is not an absolute path",
                'write ca_file = "/path/to/file.pem"',
            )
            ca_file = None
        elif ca_file is not None:
            check_files(table, "ca_file", TlsOptions(ca_file=ca_file))
        options = DnsOptions(
            question=DnsQuestion(
                name=table.value("name", parse, default=".", required=True),
                record_type=record_type,
                wants_recursion=table.flag("recursion", default=True),
            ),
            server=table.value("server", parse_host, default=None),
            port=table.integer("port", default=_PORTS[protocol], minimum=1, maximum=MAX_PORT),
            protocol=protocol,
            ip_family=ip_family,
            source=read_source(table, ip_family),
            tls=TlsOptions(
                verify=table.flag("verify", default=True),
                ca_file=ca_file,
                alpn=("dot",),  # RFC 7858
            ),
            server_name=table.value("server_name", parse_host, default=None),
        )
        if options.server is not None:
            check_source(table, options.server, options.source)
            check_family(table, options.server, options.ip_family)
        if protocol is not DnsProtocol.TLS:
            check_tls_keys(
                table, hint='write protocol = "tls", or remove it', keys=("verify", "ca_file", "server_name")
            )
        return options

    @classmethod
    def absent_fields(cls, options: DnsOptions) -> Mapping[str, str]:
        return {} if options.protocol is DnsProtocol.TLS else ONLY_WITH_TLS

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        server = self.options.server
        hosts = (server,) if server is not None else system_servers(self._resolv_conf)
        outcome, failed = await self._query_in_turn(hosts, watch.began_s + self.settings.timeout_s)
        fields: dict[str, FieldValue] = {"response_time": outcome.duration_s}
        fields.update((PHASE_FIELDS[phase], seconds) for phase, seconds in outcome.phases.items())
        if outcome.address is not None:
            fields |= {"address": outcome.address, "ip_version": ip_version(outcome.address)}
        question = self.options.question
        if isinstance(outcome, DnsFailure):
            reason, result = Reason(outcome.kind.value), outcome.detail
        else:
            reason, result = _evaluate(outcome, question.record_type)
            # The first answers, up to MAX_ANSWERS_CHARACTERS.
            lengths = accumulate(len(answer) for answer in outcome.answers)
            fields |= {
                "dns.rcode": outcome.rcode,
                "dns.answers": tuple(
                    answer
                    for answer, total in zip(outcome.answers, lengths, strict=True)
                    if total <= MAX_ANSWERS_CHARACTERS
                ),
                "dns.answer_count": len(outcome.answers),
                "dns.authoritative": outcome.is_authoritative,
                "dns.authenticated": outcome.is_authenticated,
                "dns.protocol": outcome.protocol.value,
                "dns.truncated": outcome.was_truncated,
            }
            if outcome.ttl_s is not None:
                fields["dns.ttl"] = outcome.ttl_s
            if outcome.serial is not None:
                fields["dns.serial"] = outcome.serial
            if outcome.tls is not None:
                fields |= {"tls.version": outcome.tls.version, "tls.cipher": outcome.tls.cipher}
                if outcome.tls.certificate is not None:
                    ends_at = outcome.tls.certificate.expires_at
                    fields["certificate.expires_in"] = (ends_at - self.tools.clock.now()).total_seconds()
        note = f", after {counted(failed, 'server')} failed" if failed else ""
        subject = f"{question.record_type} {question.name} at {server or outcome.address or 'no server'}"
        return watch.observation(
            reason,
            f"{subject}: {result}, {outcome.duration_s:.3f} s{note}",
            fields,
            outcome.address,
            subject=subject,
            outcome=f"{result}{note}",
            shows_connectivity=False if may_be_isolated(outcome) else None,
        )

    async def _query_in_turn(self, hosts: tuple[str, ...], deadline: float) -> tuple[DnsOutcome, int]:
        """Return the first usable answer, or the outcome of the last server, and the number of servers that failed."""
        *others, last = hosts
        for index, host in enumerate(others):
            now_s = self.tools.clock.monotonic_s()
            share_s = (deadline - now_s) / (len(hosts) - index)
            outcome = await self._query(host, now_s + share_s)
            if isinstance(outcome, DnsAnswer) and outcome.rcode not in _QUERY_NEXT:
                return outcome, index
        return await self._query(last, deadline), len(others)

    async def _query(self, host: str, deadline: float) -> DnsOutcome:
        return await self._client.query(self.options.question, self.options.at(host), deadline=deadline)


def may_be_isolated(outcome: DnsOutcome) -> bool:
    """Return whether a resolver of this host or network reports that it cannot reach the authoritative servers."""
    if not isinstance(outcome, DnsAnswer) or outcome.rcode != "SERVFAIL" or outcome.address is None:
        return False
    return not ip_address(outcome.address).is_global


def _evaluate(answer: DnsAnswer, record_type: str) -> tuple[Reason, str]:
    """Return the reason, and the answer in words."""
    transport = " over TCP, because the UDP response was truncated" if answer.was_truncated else ""
    if answer.rcode != "NOERROR":
        return Reason.CONDITION_FAILED, f"{answer.rcode}{transport}"
    if not answer.answers:
        return Reason.CONDITION_FAILED, f"NOERROR, but no {record_type} record{transport}"
    shown = ", ".join(answer.answers)
    return Reason.OK, f"NOERROR, {shortened(shown, MAX_SHOWN_CHARACTERS)}{transport}"


def system_servers(resolv_conf: Path) -> tuple[str, ...]:
    """Return the name servers of resolv.conf(5) in order; 127.0.0.1 if there is none, as the C library does."""
    try:
        with resolv_conf.open("rb") as file:
            text = file.read(MAX_RESOLV_CONF_BYTES).decode(errors="replace")
    except OSError:
        text = ""
    lines = [line.split() for line in text.splitlines()]
    named = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
    return tuple(host for host in named if literal_address(host))[:MAX_SYSTEM_SERVERS] or ("127.0.0.1",)
