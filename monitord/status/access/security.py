"""Authorization of requests, before any handler.

| request                | over the Unix socket                | over TCP                         |
|------------------------|-------------------------------------|----------------------------------|
| reads (GET, HEAD)      | all clients that can connect        | all clients                      |
| changes (all others)   | root, the daemon's user, its group  | clients that send a token        |

The kernel identifies the peer of a Unix socket (unix(7), SO_PEERCRED and SO_PEERGROUPS). Under `PrivateUsers=`, root
and the daemon's own user and group keep their numbers, which is sufficient; all other users are shown as 65534. The
name that monitorctl sends for its user is recorded without verification, and gives no rights.

A POST to the path of an action link needs no other right: the token in the path is the authorization, which the handler
of the page verifies. The link of a notification works on every transport.

A reverse proxy that authenticates its users can have a socket of its own (`TrustedProxy`): there, and nowhere else, the
user that it names in a header field may make changes, and no other client. Access to that socket gives all rights.

The rights of other reverse proxies do not apply to their clients: forwarded changes need a token, as over TCP.
Changes that are requested by pages of other sites are rejected on every transport.

The Host field is checked on every listener, for reads too: a page of another site can make its own name resolve to
this address (DNS rebinding), and browsers can reach the Unix socket if `ssh -L` forwards it.
"""

import hmac
import ipaddress
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from monitord.alerts.action_links import PATH_PREFIX, masked_links
from monitord.clock import Clock
from monitord.config import Secret
from monitord.journal_events import JournalEvent
from monitord.model import TokenRights
from monitord.options.listen import host_name
from monitord.status.access.problems import problem_of
from monitord.text import counted, printable
from monitord.web import (
    Handler,
    HTTPException,
    HTTPForbidden,
    HTTPMisdirectedRequest,
    HTTPTooManyRequests,
    HTTPUnauthorized,
    Peer,
    Request,
    StreamResponse,
)

log = logging.getLogger("monitord")

OVERFLOW_UID = 65534
"""Every user that the sandbox does not know. Only members of the daemon's group among them can make changes."""

ACCOUNTS = Path("/etc/passwd")

CLAIM_HEADER = "Monitord-User"
"""The header field in which monitorctl sends the login name of its user over the Unix socket."""

_LOGIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+\\-]{0,99}")
"""Without spaces and parentheses, so that a claim cannot look like a verified name."""

API_PREFIX = "/api/"
_PERMITTED = {
    TokenRights.ACKNOWLEDGE: re.compile(r"/api/v1/(?:acknowledge|unacknowledge|monitors/[^/]+/acknowledge)"),
    TokenRights.REPORT: re.compile(r"/api/v1/reports"),
}
"""The paths of the changes that a token with these rights permits."""

READING = frozenset({"GET", "HEAD", "OPTIONS"})

_ACTION_LINK = re.compile(re.escape(PATH_PREFIX) + "[A-Za-z0-9_-]+")
"""Without characters that can be encoded, so that the router cannot understand the path in another way."""

FORWARDED = frozenset({"forwarded", "x-real-ip", "via"})
FORWARDED_PREFIX = "x-forwarded-"
"""Fields in which reverse proxies name the client or its request."""

_ORIGIN = re.compile(r"https?://((?:\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(?::[0-9]{1,5})?)", re.IGNORECASE)
"""RFC 6454 section 7: without user and path. Sandboxed and local pages send "null"."""

MAX_FAILURES = 10
"""Invalid tokens of a network within FAILURES_WITHIN_S; then all its tokens are rejected."""

FAILURES_WITHIN_S = 60.0
MAX_NETWORKS = 1000
"""Networks whose failures are counted; with more, the network with the oldest failure is discarded."""

UNIX_SOCKET = "the Unix socket"
"""Instead of a network."""

MAX_USER_CHARACTERS = 100
MAX_SHOWN_CHARACTERS = 200
"""Limit for a path or a field in the log."""

MAX_LOGGED = 20
"""Messages about invalid tokens within FAILURES_WITHIN_S, for all clients together."""

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
"""On every response, unless it has its own. No Access-Control-*: pages of other sites cannot read responses."""

LINK_HEADERS = {
    # Without the path, which contains the token. With no-referrer, browsers send `Origin: null` with the form, as they
    # do with forms of sandboxed pages (Fetch, "append a request Origin header").
    "Referrer-Policy": "strict-origin",
    "X-Robots-Tag": "noindex, nofollow",
}
"""The same for the paths of action links, including errors."""


@dataclass(frozen=True, slots=True)
class TrustedProxy:
    """The path of the Unix socket of a reverse proxy, and the header field in which it names the authenticated user."""

    socket_path: str
    user_header: str


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token that permits changes according to its rights. Changes are recorded under its name."""

    name: str
    secret: Secret
    rights: TokenRights = TokenRights.ALL
    locations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """`allowed_hosts`: further names of the daemon, in lower case."""

    allowed_hosts: frozenset[str] = frozenset()
    tokens: tuple[AccessToken, ...] = ()
    proxy: TrustedProxy | None = None


class _Failures:
    """The invalid tokens of each network within FAILURES_WITHIN_S."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_network: dict[str, tuple[int, float]] = {}  # their number, and the time of the first failure

    def _of(self, network: str) -> tuple[int, float]:
        now_s = self._clock.monotonic_s()
        count, since_s = self._by_network.get(network, (0, now_s))
        return (0, now_s) if now_s - since_s > FAILURES_WITHIN_S else (count, since_s)

    def wait_s(self, network: str) -> int:
        """Return for how many seconds all tokens of a network are rejected; 0: they are not."""
        count, since_s = self._of(network)
        if count < MAX_FAILURES:
            return 0
        return int(FAILURES_WITHIN_S - (self._clock.monotonic_s() - since_s)) + 1

    def add(self, network: str) -> int:
        """Count a failure, and return how many there are."""
        count, since_s = self._of(network)
        self._by_network.pop(network, None)
        self._by_network[network] = (count + 1, since_s)
        if len(self._by_network) > MAX_NETWORKS:
            del self._by_network[next(iter(self._by_network))]
        return count + 1


class Access:
    """`guard` is the outermost middleware of the application."""

    def __init__(self, policy: AccessPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self.rejected_tokens = 0
        self._token_failures = _Failures(clock)
        # Counted separately, as guesses of links over a proxy must not lock out the clients with an API token.
        self._link_failures = _Failures(clock)
        self._logged = 0
        self._logged_since_s = 0.0
        self._unlogged = 0

    async def guard(self, request: Request, handler: Handler) -> StreamResponse:
        try:
            self._check_host(request)
            if self._policy.proxy is not None:
                request.state.proxy_user = self._proxy_user(request, self._policy.proxy)
            if request.method == "POST" and _ACTION_LINK.fullmatch(request.raw_path):
                self._reject_other_sites(request)
            elif request.method not in READING:
                request.state.requested_by = self._require_change(request)
            response = await handler(request)
        except HTTPException as error:
            response = problem_of(error) if request.raw_path.startswith(API_PREFIX) else error
        if request.raw_path.startswith(PATH_PREFIX):
            response.headers.merge(LINK_HEADERS)
        response.headers.merge(HEADERS)
        return response

    def _check_host(self, request: Request) -> None:
        """Check Host. Raises HTTPMisdirectedRequest for the name of another site. X-Forwarded-Host is never used."""
        host = request.host
        # Browsers always send Host; HTTP/1.0 clients may omit it (RFC 9112 section 3.2).
        if (
            not host
            or host_name(host) in self._policy.allowed_hosts
            or is_local_host(host, request.local_address)
        ):
            return
        raise HTTPMisdirectedRequest(
            text=f'"{host_name(host)}" is not a name of this daemon; use localhost or the address, '
            f'or configure the name: allowed_hosts = ["{host_name(host)}"] in [status]\n'
        )

    def _require_change(self, request: Request) -> str:
        """Return the client, for the log. Raises an HTTPException if it is not permitted to make changes."""
        self._reject_other_sites(request)
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            token = self._check_token(credentials.strip(), request)
            address = UNIX_SOCKET if request.local_address is None else request.peer.address
            permitted = _PERMITTED.get(token.rights)
            is_permitted = permitted is not None and permitted.fullmatch(request.raw_path) is not None
            if not (is_permitted or token.rights is TokenRights.ALL):
                raise HTTPForbidden(
                    text=f"the token {token.name} does not permit this; its rights are "
                    f'"{token.rights.value}" in [status.tokens.{token.name}]\n'
                )
            request.state.token_locations = token.locations
            return f"token {token.name}, from {address}"
        user = _proxy_user_of(request)
        if user is not None:
            if user:
                return f"{user} (via proxy)"
            raise HTTPForbidden(
                text="changes through the proxy require a login; the proxy has named no user\n"
            )
        if request.local_address is None and not is_forwarded(request):
            return require_change_rights(request.peer, request.headers.get(CLAIM_HEADER, ""))
        if self._policy.tokens:
            raise HTTPUnauthorized(
                text="changes over TCP or through a proxy require a token; send Authorization: Bearer TOKEN\n",
                headers={"WWW-Authenticate": "Bearer"},
            )
        raise HTTPForbidden(
            text="changes are permitted on the Unix socket only; to permit them over TCP, add [status.tokens.NAME]\n"
        )

    def _proxy_user(self, request: Request, proxy: TrustedProxy) -> str | None:
        """Return the user that the trusted proxy names, "" if it names none; None on all other sockets."""
        if request.local_address is not None or request.socket_path != proxy.socket_path:
            return None
        # A second field would be that of the client, which the proxy has not removed.
        names = request.headers.getall(proxy.user_header, ())
        user = names[0].strip() if len(names) == 1 else ""
        return user if len(user) <= MAX_USER_CHARACTERS and user.isprintable() else ""

    def _reject_other_sites(self, request: Request) -> None:
        """Check the fields that a browser adds. Raises HTTPForbidden unless each names a page of the daemon."""
        sites = request.headers.getall("Sec-Fetch-Site", ())
        is_own_page = all(site in {"none", "same-origin"} for site in sites)
        for origin in request.headers.getall("Origin", ()):
            match = _ORIGIN.fullmatch(origin)
            site = match[1].lower() if match is not None else ""
            # The Host of a reverse proxy may differ from that of its client, so configured names are accepted with
            # every port.
            is_own_page &= bool(site) and (
                site == request.host.lower() or host_name(site) in self._policy.allowed_hosts
            )
        if not is_own_page:
            raise HTTPForbidden(text="changes requested by pages of other sites are rejected\n")

    def _check_token(self, token: str, request: Request) -> AccessToken:
        """Return the token. Raises HTTPUnauthorized if it is invalid, HTTPTooManyRequests after too many of them."""
        network = request.peer.network or UNIX_SOCKET
        self._reject_limited(self._token_failures, network)
        # All are compared, so that the time of a response does not depend on the token.
        matches = [
            known
            for known in self._policy.tokens
            if hmac.compare_digest(token.encode(), known.secret.reveal().encode())
        ]
        match = matches[0] if matches else None
        if match is not None:
            return match
        self.rejected_tokens += 1
        self._log_rejected(request, network, self._token_failures.add(network))
        problem = (
            "the token is invalid"
            if self._policy.tokens
            else "no token is configured; add [status.tokens.NAME]"
        )
        raise HTTPUnauthorized(
            text=f"{problem}\n", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}
        )

    def reject_link(self, request: Request) -> None:
        """Count a request with an invalid action link. Raises HTTPTooManyRequests after too many of them.

        Valid links of the same network still work: their tokens, unlike API tokens, are too long to be guessed.
        """
        network = request.peer.network or UNIX_SOCKET
        self._reject_limited(self._link_failures, network)
        self.rejected_tokens += 1
        self._log_rejected(request, network, self._link_failures.add(network))

    def _reject_limited(self, failures: "_Failures", network: str) -> None:
        wait_s = failures.wait_s(network)
        if wait_s:
            self.rejected_tokens += 1
            raise HTTPTooManyRequests(
                text=f"too many invalid tokens; try again in {wait_s} s\n",
                headers={"Retry-After": str(wait_s)},
            )

    def _log_rejected(self, request: Request, network: str, failures: int) -> None:
        """Log the first and the last counted failure of a network. The token itself is never logged."""
        if failures not in {1, MAX_FAILURES}:
            return
        now_s = self._clock.monotonic_s()
        if now_s - self._logged_since_s > FAILURES_WITHIN_S:
            self._logged, self._logged_since_s = 0, now_s
        if self._logged >= MAX_LOGGED:
            self._unlogged += 1
            return
        self._logged += 1
        address = request.peer.address or network
        forwarded_for = printable(request.headers.get("X-Forwarded-For", ""))[:MAX_SHOWN_CHARACTERS]
        log.warning(
            "invalid token from %s%s for %s %s%s%s",
            address,
            f' (X-Forwarded-For: "{forwarded_for}")' if forwarded_for else "",
            request.method,
            # An incomplete token is nearly a secret as well.
            masked_links(request.raw_path)[:MAX_SHOWN_CHARACTERS],
            f"; {failures} within {FAILURES_WITHIN_S:.0f} s: all tokens from this network are rejected for the rest of "
            "this time"
            if failures > 1
            else "",
            f"; not logged: {counted(self._unlogged, 'message')} of this kind" if self._unlogged else "",
            extra={
                "message_id": JournalEvent.TOKEN_REJECTED.message_id,
                "fields": {"CLIENT_ADDRESS": address},
            },
        )
        self._unlogged = 0


def is_forwarded(request: Request) -> bool:
    """Whether a reverse proxy sent the request for a client."""
    names = {name.lower() for name in request.headers}
    return any(name in FORWARDED or name.startswith(FORWARDED_PREFIX) for name in names)


def _proxy_user_of(request: Request) -> str | None:
    """The user that the trusted proxy names, as `guard` has found it: see `Access._proxy_user`."""
    user: str | None = getattr(request.state, "proxy_user", None)
    return user


def has_write_access(request: Request) -> bool:
    """Whether the client can make changes without a token, itself or as a user of the trusted proxy."""
    user = _proxy_user_of(request)
    return may_change(request) if user is None else bool(user)


def may_change(request: Request) -> bool:
    """Whether the peer itself may make changes, without a token."""
    if is_forwarded(request):
        return False
    try:
        require_change_rights(request.peer)
    except HTTPForbidden:
        return False
    return True


def require_form_of_browser(request: Request) -> None:
    """Raise HTTPForbidden unless a browser sent the form: it names the origin of the page, which `guard` has checked.

    Every browser sends Origin with a form (Fetch, section 3.2); without both fields, the page is not known.
    """
    if "Origin" not in request.headers and "Sec-Fetch-Site" not in request.headers:
        raise HTTPForbidden(
            text="the form names no page that it belongs to (Origin, Sec-Fetch-Site); programs use the API instead\n"
        )


def require_location(request: Request, location: str) -> tuple[str, ...]:
    """Return the locations that the token of the request permits; empty: all.

    Raises HTTPForbidden if this location is none of them.
    """
    permitted: tuple[str, ...] = getattr(request.state, "token_locations", ())
    if permitted and location not in permitted:
        raise HTTPForbidden(
            text=f'the token does not permit reports from the location "{location}"; add it to `locations` in '
            "[status.tokens.NAME], or correct `location` in [cluster] of the agent\n"
        )
    return permitted


def requested_by(request: Request) -> str:
    """The client that requested a change, as `guard` has determined it; without `guard`, from the peer's own rights."""
    client: str | None = getattr(request.state, "requested_by", None)
    return require_change_rights(request.peer) if client is None else client


def require_change_rights(peer: Peer, claimed: str = "") -> str:
    """Return the peer, for the log. Raises HTTPForbidden if it may only read.

    `claimed`: the login name that the client sends. It is recorded for users that the sandbox does not know.
    """
    if peer.uid is None:
        raise HTTPForbidden(text="changes are permitted on the Unix socket only\n")
    groups = {peer.gid, *peer.groups}
    if peer.uid not in {0, os.geteuid()} and os.getegid() not in groups:
        raise HTTPForbidden(text="changes are permitted to root and members of the daemon's group only\n")
    name = name_of(peer.uid)
    if peer.uid == OVERFLOW_UID and _LOGIN_NAME.fullmatch(claimed):
        name = f"{claimed} (claimed by {name})"
    return f"{name}, pid {peer.pid}"


def name_of(uid: int) -> str:
    """ "kim (uid 1000)", or "uid 1000" for an unknown user.

    Read from the file: pwd would query every service of nsswitch.conf, and a service that hangs would delay the checks.
    """
    if uid == OVERFLOW_UID:
        return "a member of the daemon's group"
    try:
        accounts = ACCOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return f"uid {uid}"
    for account in accounts:
        name, _, *rest = f"{account}::".split(":")
        if rest[0] == str(uid):
            return f"{name} (uid {uid})"
    return f"uid {uid}"


def is_local_host(host: str, local_address: str | None) -> bool:
    """Whether a Host field names this machine; a page of another site cannot have such a name.

    Over the Unix socket (`local_address` None): "localhost" and loopback addresses, with any port, because users of
    `ssh -L` choose it. Over TCP: the address of the connection, and "localhost" if that is a loopback address.
    """
    name = host_name(host)
    named = _address(name)
    if local_address is None:
        return name == "localhost" or (named is not None and named.is_loopback)
    local = _address(local_address)
    return local is not None and (named == local or (name == "localhost" and local.is_loopback))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A dual-stack socket shows IPv4 clients as IPv4-mapped IPv6 addresses.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped
