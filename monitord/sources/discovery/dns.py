"""Targets in DNS: SRV records (RFC 2782), or A and AAAA records with a port."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from monitord.config import Table
from monitord.monitors.dns import RESOLV_CONF, system_servers
from monitord.net.base.addressing import parse_host
from monitord.net.dns.client import DnsAnswer, DnsClient, DnsProtocol, DnsQuestion, DnsServer, library_problem
from monitord.sources.base import SourceTools
from monitord.sources.discovery.source import Fetcher, FetchError
from monitord.sources.discovery.targets import DiscoveredTarget

MAX_NAMES = 100
SRV_PARTS = 4


@dataclass(frozen=True, slots=True)
class DnsDiscoveryOptions:
    names: tuple[str, ...] = ()
    record_type: str = "SRV"
    port: int | None = None
    server: str | None = None
    server_port: int = 53


class DnsFetcher(Fetcher[DnsDiscoveryOptions]):
    default_refresh_s: ClassVar[float] = 30.0

    def __init__(self, options: DnsDiscoveryOptions, timeout_s: float, tools: SourceTools) -> None:
        super().__init__(options, timeout_s, tools)
        self._client = DnsClient(tools.resolver, tools.tls_contexts)

    @classmethod
    def read_options(cls, table: Table) -> DnsDiscoveryOptions:
        if problem := library_problem():
            table.ignore_others()
            table.error("type", f'"dns" needs dnspython: {problem}', "install the package python3-dnspython")
            return DnsDiscoveryOptions()
        from monitord.net.dns.message import parse_name  # noqa: PLC0415 - a library that need not be there

        names = table.one_or_more("names", parse_name, default=())
        if table.raw("names") is None:
            table.error("", "has no names", 'write names = "_http._tcp.example.org"')
        if len(names) > MAX_NAMES:
            table.error("names", f"has more than {MAX_NAMES} names", "divide them")
        record_type = table.choice("record_type", ("SRV", "A", "AAAA"), default="SRV")
        port = table.integer("port", default=None, minimum=1, maximum=65535)
        if record_type == "SRV" and port is not None:
            table.error("port", "has no effect, because SRV records contain the port", "remove it")
        if record_type != "SRV" and port is None:
            table.error("", "has no port", f"write port = 80: {record_type} records contain no port")
        return DnsDiscoveryOptions(
            names,
            record_type,
            port,
            table.value("server", parse_host, default=None),
            table.integer("server_port", default=53, minimum=1, maximum=65535),
        )

    async def fetch(self) -> Iterable[DiscoveredTarget]:
        deadline = self.tools.clock.monotonic_s() + self.timeout_s
        queries = [self._query(name, deadline) for name in self.options.names]
        # Wait for all of them: otherwise the others would continue after the first failure.
        targets: list[DiscoveredTarget] = []
        for answer in await asyncio.gather(*queries, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
            targets += answer
        return targets

    async def _query(self, name: str, deadline: float) -> list[DiscoveredTarget]:
        options = self.options
        servers = (options.server,) if options.server is not None else system_servers(RESOLV_CONF)
        problem = "there is no name server"
        for index, host in enumerate(servers):
            now_s = self.tools.clock.monotonic_s()
            until_s = now_s + (deadline - now_s) / (len(servers) - index)
            server = DnsServer(host, options.server_port, DnsProtocol.UDP)
            outcome = await self._client.query(
                DnsQuestion(name, options.record_type), server, deadline=until_s
            )
            if not isinstance(outcome, DnsAnswer):
                problem = outcome.detail
            elif outcome.rcode != "NOERROR":
                problem = outcome.rcode
            else:
                targets = (self._target_of(name, record) for record in outcome.answers)
                return [target for target in targets if target is not None]
        raise FetchError(f"{name} {options.record_type}: {problem}")

    def _target_of(self, name: str, record: str) -> DiscoveredTarget | None:
        labels = {"__meta_dns_name": name.removesuffix(".")}
        if self.options.record_type != "SRV":
            host = f"[{record}]" if ":" in record else record
            return DiscoveredTarget(f"{host}:{self.options.port}", labels)
        parts = record.split()
        if len(parts) != SRV_PARTS or parts[3] == ".":  # "." means that the service is not available
            return None
        target = parts[3].removesuffix(".")
        labels |= {"__meta_dns_srv_record_target": target, "__meta_dns_srv_record_port": parts[2]}
        return DiscoveredTarget(f"{target}:{parts[2]}", labels)
