"""Who may do what, on each transport, decided once for every request before any handler sees it.

| asked                     | over the Unix socket               | over TCP                              |
|---------------------------|------------------------------------|---------------------------------------|
| to read (GET, HEAD)       | whoever may open it                | everybody, under a Host that is ours  |
| to change (all the rest)  | root, our own user, our own group  | who bears the token, if there is one  |

What a proxy passes on is its client's wish and not the proxy's own, so changes in it want the token as over TCP. A
change that a page of another site asks for is refused everywhere. Host is checked because a page of another site can
have its own name point here, and would then read as if it were ours (DNS rebinding).
"""

import hmac
import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from monitord.clock import Clock
from monitord.config import Secret
from monitord.status.control import require_change_rights
from monitord.status.problems import problem_of
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

API_PREFIX = "/api/"
READING = frozenset({"GET", "HEAD", "OPTIONS"})

FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
"""By these a proxy says for whom it asks."""

MOST_FAILURES = 10
FAILURES_WITHIN_S = 60.0
MOST_GUESSERS = 1000
"""Whose failures are remembered; beyond them the longest known is forgotten."""

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
        self._failures: dict[str, tuple[int, float]] = {}

    async def guard(self, request: Request, handler: Handler) -> StreamResponse:
        try:
            if request.local_address is not None:
                self._check_host(request)
            if request.method not in READING:
                request.state.asked_by = self._require_change(request)
            response = await handler(request)
        except HTTPException as error:
            response = problem_of(error) if request.raw_path.startswith(API_PREFIX) else error
        response.headers.merge(HEADERS)
        return response

    def _check_host(self, request: Request) -> None:
        name = _host_name(request.host)
        # Without a Host it is no browser (RFC 9112 section 3.2), and only browsers are led here by others.
        if not name or name in self._policy.hosts:
            return
        local = _address(request.local_address or "")
        if local is not None and (_address(name) == local or (name == "localhost" and local.is_loopback)):
            return
        raise HTTPMisdirectedRequest(
            text=f'nothing here is called "{name}"; ask for the address, or add the name to hosts in [status]\n'
        )

    def _require_change(self, request: Request) -> str:
        """Who asks, for the log."""
        self._refuse_other_sites(request)
        passed_on = any(name in request.headers for name in FORWARDED)
        who = "the Unix socket" if request.local_address is None else str(request.peer.address)
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            self._check_token(given.strip(), who)
            return f"bearer of the token, from {who}"
        if request.local_address is None and not passed_on:
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
        origin = request.headers.get("Origin")
        if origin is not None:
            site = _site_of(origin)
            is_ours = bool(site) and (site == request.host.lower() or _host_name(site) in self._policy.hosts)
        else:
            is_ours = request.headers.get("Sec-Fetch-Site", "none") in {"none", "same-origin"}
        if not is_ours:
            raise HTTPForbidden(text="a page of another site may not change anything here\n")

    def _check_token(self, given: str, who: str) -> None:
        who = guesser(who)
        now_s = self._clock.monotonic_s()
        failures, since_s = self._failures.get(who, (0, now_s))
        if now_s - since_s > FAILURES_WITHIN_S:
            failures, since_s = 0, now_s
        if failures >= MOST_FAILURES:
            wait_s = int(FAILURES_WITHIN_S - (now_s - since_s)) + 1
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
        why = "this is not the token" if token is not None else "there is no token; set token in [status]"
        raise HTTPUnauthorized(text=f"{why}\n", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


def guesser(who: str) -> str:
    """Whose guesses count together: over IPv6 a network of 64 bits, which one host has for itself (RFC 6177)."""
    address = _address(who)
    if not isinstance(address, ipaddress.IPv6Address):
        return who if address is None else str(address)
    return str(ipaddress.IPv6Network((address, 64), strict=False))


def asked_by(request: Request) -> str:
    """Who asked for a change, once `guard` has let it pass; without it only the peer's own rights count."""
    who: str | None = getattr(request.state, "asked_by", None)
    return require_change_rights(request.peer) if who is None else who


def _site_of(origin: str) -> str:
    """Host and port; empty for "null", and for what is no origin at all."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _host_name(host: str) -> str:
    """The name in a Host field, without port and final dot."""
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
