"""Queries of registries: RDAP over HTTP (RFC 7480), and WHOIS (RFC 3912)."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from monitord.net.base.tls import TlsOptions
from monitord.net.http.client import HttpClient
from monitord.net.http.outcome import HttpFailure
from monitord.net.http.request import HttpRequest
from monitord.net.registry import rdap, whois
from monitord.net.registry.limits import IANA_WHOIS, MAX_BLOCKED_S, WHOIS_PORT, Registries, RegistrySource
from monitord.net.registry.registration import NotRegisteredError, Registration, RegistryError
from monitord.net.stream.client import Stream, StreamClient, StreamTarget

BLOCKED_S = 3600.0
"""The time without queries after a response that does not contain the duration of the limit."""
MAX_BODY_BYTES = 1 << 20

_ACCEPT: Final = "application/rdap+json, application/json;q=0.9"


class RegistryClient:
    """Queries registries with the clients of the caller. `now`: the wall clock, for dates in Retry-After."""

    def __init__(
        self,
        http: HttpClient,
        streams: StreamClient,
        registries: Registries,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._http = http
        self._streams = streams
        self._registries = registries
        self._now = now

    async def query(
        self, source: RegistrySource, domain: str, *, deadline: float, tls: TlsOptions | None = None
    ) -> Registration:
        """Return the registration. Raises NotRegisteredError and RegistryError.

        The caller has reserved the query (`Registries.reserve`).
        """
        try:
            if source.rdap_url:
                return await self._query_rdap(source.rdap_url, domain, deadline, tls or TlsOptions())
            return await self._query_whois(source, domain, deadline)
        except RegistryError as error:
            if error.retry_after_s is not None:
                self._registries.block(source, error.retry_after_s)
            raise

    async def _query_whois(self, source: RegistrySource, domain: str, deadline: float) -> Registration:
        name, hosts = domain.rpartition(".")[2], self._registries.whois_hosts
        host = source.whois_host or hosts.get(name, "")
        if not host:
            response = await self._query_server(IANA_WHOIS, WHOIS_PORT, f"{name}\r\n".encode(), deadline)
            host = whois.referral(response) or ""
            if not host:
                raise RegistryError(f"the registry of {name} has neither an RDAP server nor a WHOIS server")
            hosts[name] = host
        response = await self._query_server(host, source.whois_port, whois.query_of(domain, host), deadline)
        return whois.parse_domain(response, domain, host)

    async def _query_rdap(self, base_url: str, domain: str, deadline: float, tls: TlsOptions) -> Registration:
        request = HttpRequest(
            url=f"{base_url}domain/{domain}",
            headers=(("Accept", _ACCEPT),),
            tls=tls,
            read_body=True,
            max_body_bytes=MAX_BODY_BYTES,
        )
        outcome = await self._http.fetch(request, deadline=deadline)
        if isinstance(outcome, HttpFailure):
            raise RegistryError(outcome.detail)
        match outcome.status:
            case 200:
                pass
            case 404:
                raise NotRegisteredError
            case 429 | 503:
                # RFC 9110, section 10.2.3; at least a minute.
                text = outcome.headers.get("Retry-After", "").strip()
                try:
                    seconds = (
                        float(text)
                        if text.isdecimal()
                        else (parsedate_to_datetime(text) - self._now()).total_seconds()
                    )
                except (ValueError, TypeError, OverflowError):
                    seconds = BLOCKED_S
                raise RegistryError(f"status {outcome.status}", min(max(seconds, 60.0), MAX_BLOCKED_S))
            case _:
                raise RegistryError(f"status {outcome.status}")
        try:
            return rdap.parse_domain(outcome.body or b"")
        except ValueError:
            raise RegistryError("the response is not that of an RDAP server") from None

    async def _query_server(self, host: str, port: int, query: bytes, deadline: float) -> bytes:
        """Return the response of a WHOIS server, which ends with the connection. Raises RegistryError."""

        async def communicate(stream: Stream) -> None:
            await stream.send(query)
            while await stream.receive():
                pass

        outcome = await self._streams.run(StreamTarget(host=host, port=port), communicate, deadline=deadline)
        if outcome.failure is not None:
            raise RegistryError(outcome.detail)
        if not outcome.received.strip():
            raise RegistryError(f"{host} closed the connection without a response")
        return outcome.received
