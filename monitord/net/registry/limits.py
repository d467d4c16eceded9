"""The rate of queries that registries accept. Shared by all monitors.

Registries limit the queries of a client and block it for hours if it exceeds the limit. Therefore the queries of all
monitors to a server are at least SPACING_S apart, and a server that responds with status 429 is not queried until the
time that it demands has passed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

SPACING_S = 2.0
MAX_BLOCKED_S = 86400.0
MAX_SERVERS = 2000
IANA_WHOIS = "whois.iana.org"
"""Its response for a top-level domain names the WHOIS server of the registry."""
WHOIS_PORT = 43


@dataclass(frozen=True, slots=True)
class RegistrySource:
    """The server of a registry: the base URL of RDAP, or host and port of WHOIS.

    `whois_host` "": the host is found with the server of IANA.
    """

    rdap_url: str = ""
    whois_host: str = ""
    whois_port: int = WHOIS_PORT

    @property
    def key(self) -> str:
        """The key to which the limits apply."""
        return self.rdap_url.partition("://")[2].partition("/")[0] or self.whois_host or IANA_WHOIS

    @property
    def protocol(self) -> str:
        return "rdap" if self.rdap_url else "whois"


class Registries:
    """Limits queries. `whois_hosts`: the servers that IANA has named, by top-level domain."""

    def __init__(
        self, spacing_s: float = SPACING_S, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._spacing_s = spacing_s
        self._monotonic_s = monotonic_s
        self._free_at: dict[str, float] = {}
        self._blocked_until: dict[str, float] = {}
        self.whois_hosts: dict[str, str] = {}

    def reserve(self, source: RegistrySource) -> float:
        """Reserve the next query of a server, and return the seconds until it may be sent."""
        now_s = self._monotonic_s()
        if len(self._free_at) > MAX_SERVERS:
            self._free_at = {key: at for key, at in self._free_at.items() if at > now_s}
        at = max(self._free_at.get(source.key, now_s), now_s)
        self._free_at[source.key] = at + self._spacing_s
        return at - now_s

    def block(self, source: RegistrySource, seconds: float) -> None:
        """Send no query to the server for this number of seconds."""
        until = self._monotonic_s() + min(seconds, MAX_BLOCKED_S)
        self._free_at[source.key] = max(self._free_at.get(source.key, 0.0), until)
        self._blocked_until[source.key] = until

    def is_blocked(self, source: RegistrySource) -> bool:
        """Return whether the server is not to be queried now, even if a query is reserved."""
        return self._monotonic_s() < self._blocked_until.get(source.key, 0.0)
