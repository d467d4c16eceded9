"""Who may do what, on each transport, decided once for every request before any handler sees it.

| asked                     | over the Unix socket               | over TCP                              |
|---------------------------|------------------------------------|---------------------------------------|
| to read (GET, HEAD)       | whoever may open it                | everybody                             |
| to change (all the rest)  | root, our own user, our own group  | who bears the token, if there is one  |

What a proxy passes on is its client's wish and not the proxy's own, so changes in it want the token as over TCP. A
change that a page of another site asks for is refused everywhere.

The Host field is checked on every listener, for reads too: a page of another site can have its own name resolve to
this address (DNS rebinding), and the Unix socket is within reach of browsers once `ssh -L` forwards it.
"""

import hmac
import ipaddress
import logging
import re
from dataclasses import dataclass

from monitord.clock import Clock
from monitord.config import Secret
from monitord.journal_events import JournalEvent
from monitord.status.access.control import require_change_rights
from monitord.status.access.problems import problem_of
from monitord.text import printable
from monitord.web import (
    Handler,
    HTTPException,
    HTTPForbidden,
    HTTPMisdirectedRequest,
    HTTPTooManyRequests,
    HTTPUnauthorized,
    Request,
    StreamResponse,
)

log = logging.getLogger("monitord")

API_PREFIX = "/api/"
READING = frozenset({"GET", "HEAD", "OPTIONS"})

FORWARDED = frozenset({"forwarded", "x-real-ip", "via"})
FORWARDED_PREFIX = "x-forwarded-"
"""Fields of proxies that name the client or its request."""

_ORIGIN = re.compile(r"https?://((?:\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(?::[0-9]{1,5})?)", re.IGNORECASE)
"""RFC 6454 section 7: no user, no path. "null" is the origin of sandboxed and local pages."""

MOST_FAILURES = 10
FAILURES_WITHIN_S = 60.0
MOST_GUESSERS = 1000
"""Whose failures are remembered; beyond them the longest known is forgotten."""

MOST_SHOWN = 200
"""Characters of a path or a field in the log."""

MOST_LOGGED = 20
"""Lines about rejected tokens within FAILURES_WITHIN_S, from all clients together."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every answer that does not say otherwise. No Access-Control-*: nobody else's page reads this."""


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """`hosts`: further names of ours, in small letters. `token`: allows changes; None: nothing does."""

    hosts: frozenset[str] = frozenset()
    token: Secret | None = None


class Access:
    """`guard` is the outermost middleware of the application."""

    def __init__(self, policy: AccessPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self.rejected_tokens = 0
        self._failures: dict[str, tuple[int, float]] = {}
        self._logged = 0
        self._logged_since_s = 0.0
        self._unlogged = 0

    async def guard(self, request: Request, handler: Handler) -> StreamResponse:
        try:
            self._check_host(request)
            if request.method not in READING:
                request.state.asked_by = self._require_change(request)
            response = await handler(request)
        except HTTPException as error:
            response = problem_of(error) if request.raw_path.startswith(API_PREFIX) else error
        response.headers.merge(HEADERS)
        return response

    def _check_host(self, request: Request) -> None:
        """Raises HTTPMisdirectedRequest for the name of another site. X-Forwarded-Host never counts."""
        host = request.host
        # Browsers always send Host; HTTP/1.0 clients may leave it out (RFC 9112 section 3.2).
        if not host or host_name(host) in self._policy.hosts or is_local_host(host, request.local_address):
            return
        raise HTTPMisdirectedRequest(
            text=f'"{host_name(host)}" is not a name of this daemon; use localhost or the address, '
            f'or configure the name: hosts = ["{host_name(host)}"] in [status]\n'
        )

    def _require_change(self, request: Request) -> str:
        """Who asks, for the log."""
        self._refuse_other_sites(request)
        who = "the Unix socket" if request.local_address is None else str(request.peer.address)
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            self._check_token(given.strip(), request)
            return f"bearer of the token, from {who}"
        if request.local_address is None and not is_passed_on(request):
            return require_change_rights(request.peer)
        if self._policy.token is not None:
            raise HTTPUnauthorized(
                text="changes over TCP or through a proxy want the token: Authorization: Bearer …\n",
                headers={"WWW-Authenticate": "Bearer"},
            )
        raise HTTPForbidden(
            text="changes are accepted on the Unix socket only; to allow them here set token in [status]\n"
        )

    def _refuse_other_sites(self, request: Request) -> None:
        """Raises HTTPForbidden unless every field that a browser adds names one of our own pages."""
        fetched_from = request.headers.getall("Sec-Fetch-Site", ())
        is_probe_error = all(one in {"none", "same-origin"} for one in fetched_from)
        for origin in request.headers.getall("Origin", ()):
            match = _ORIGIN.fullmatch(origin)
            site = match[1].lower() if match is not None else ""
            # A proxy may send another Host than its client, so configured names count on every port.
            is_probe_error &= bool(site) and (
                site == request.host.lower() or host_name(site) in self._policy.hosts
            )
        if not is_probe_error:
            raise HTTPForbidden(text="a page of another site may not change anything here\n")

    def _check_token(self, given: str, request: Request) -> None:
        who = request.peer.network or "the Unix socket"
        now_s = self._clock.monotonic_s()
        failures, since_s = self._failures.get(who, (0, now_s))
        if now_s - since_s > FAILURES_WITHIN_S:
            failures, since_s = 0, now_s
        if failures >= MOST_FAILURES:
            wait_s = int(FAILURES_WITHIN_S - (now_s - since_s)) + 1
            self.rejected_tokens += 1
            raise HTTPTooManyRequests(
                text=f"too many wrong tokens; try again in {wait_s} s\n", headers={"Retry-After": str(wait_s)}
            )
        token = self._policy.token
        if token is not None and hmac.compare_digest(given.encode(), token.reveal().encode()):
            return
        self._failures.pop(who, None)
        self._failures[who] = (failures + 1, since_s)
        if len(self._failures) > MOST_GUESSERS:
            del self._failures[next(iter(self._failures))]
        self.rejected_tokens += 1
        self._log_rejected(request, who, failures + 1)
        why = "this is not the token" if token is not None else "there is no token; set token in [status]"
        raise HTTPUnauthorized(text=f"{why}\n", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})

    def _log_rejected(self, request: Request, who: str, failures: int) -> None:
        """Log the first failure of a client and the one that makes it wait. The token itself is never logged."""
        if failures not in {1, MOST_FAILURES}:
            return
        now_s = self._clock.monotonic_s()
        if now_s - self._logged_since_s > FAILURES_WITHIN_S:
            self._logged, self._logged_since_s = 0, now_s
        if self._logged >= MOST_LOGGED:
            self._unlogged += 1
            return
        self._logged += 1
        address = request.peer.address or who
        for_whom = printable(request.headers.get("X-Forwarded-For", ""))[:MOST_SHOWN]
        log.warning(
            "wrong token from %s%s for %s %s%s%s",
            address,
            f' (X-Forwarded-For: "{for_whom}")' if for_whom else "",
            request.method,
            request.raw_path[:MOST_SHOWN],
            f"; {failures} within {FAILURES_WITHIN_S:.0f} s, so its tokens are refused for the rest of them"
            if failures > 1
            else "",
            f"; {self._unlogged} messages of this kind were left out" if self._unlogged else "",
            extra={
                "message_id": JournalEvent.TOKEN_REJECTED.message_id,
                "fields": {"CLIENT_ADDRESS": address},
            },
        )
        self._unlogged = 0


def is_passed_on(request: Request) -> bool:
    """Whether a proxy sent it for a client of its own."""
    names = {name.lower() for name in request.headers}
    return any(name in FORWARDED or name.startswith(FORWARDED_PREFIX) for name in names)


def may_change(request: Request) -> bool:
    """Whether the peer itself has the right to changes, without a token."""
    if is_passed_on(request):
        return False
    try:
        require_change_rights(request.peer)
    except HTTPForbidden:
        return False
    return True


def asked_by(request: Request) -> str:
    """Who asked for a change, once `guard` has let it pass; without it only the peer's own rights count."""
    who: str | None = getattr(request.state, "asked_by", None)
    return require_change_rights(request.peer) if who is None else who


def is_local_host(host: str, local_address: str | None) -> bool:
    """Whether a Host field names this machine, as no page of another site can.

    Over the Unix socket (`local_address` None): "localhost" and loopback addresses, with any port, because `ssh -L`
    lets the user choose it. Over TCP: the address that was connected to, and "localhost" if that is a loopback address.
    """
    name = host_name(host)
    named = _address(name)
    if local_address is None:
        return name == "localhost" or (named is not None and named.is_loopback)
    local = _address(local_address)
    return local is not None and (named == local or (name == "localhost" and local.is_loopback))


def host_name(host: str) -> str:
    """The name in a Host field in lower case, without its port and one final dot."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower().removesuffix(".")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A socket for both families shows clients of IPv4 in the form of IPv6.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped
